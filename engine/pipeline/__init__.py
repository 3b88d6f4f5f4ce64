"""engine.pipeline"""
