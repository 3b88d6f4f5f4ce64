"""engine.evaluation"""
