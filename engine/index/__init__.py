"""engine.index"""
