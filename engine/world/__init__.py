"""engine.world"""
