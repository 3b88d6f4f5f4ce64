"""engine.families"""
