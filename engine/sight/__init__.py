"""Eyes apart from the answering model: encoders of stills, and observers that state facts.

Both look at stills that ingest kept, in the background, so that ingest stays as fast as decoding.
"""
