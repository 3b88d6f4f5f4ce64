"""Encoders of stills and phrases; one file is one encoder with `open_encoder`.

*Decision*: an encoder weighs its own inner products (`log_odds`). *Because* only it knows what they
are worth: a sigmoid was trained into SigLIP, posteriors carry `concepts`, and CLIP's cosines say
nothing but by comparison; search can then fuse encoders by one scale.
"""
