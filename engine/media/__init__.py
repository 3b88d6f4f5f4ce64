"""engine.media"""
