"""engine.nn"""
