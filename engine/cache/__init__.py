"""engine.cache"""
