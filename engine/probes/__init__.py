"""engine.probes"""
