"""Tensors inside, records out: no database, server, page, environment variable or print.

    media.source -> media.decode -> media.sample          frames with exact times
        -> families.encode                                visual tokens and frame vectors
        -> families.compress (nn.vst)                      latents of one chunk
        -> cache (device > host > disk) and index          kept, searchable
    question -> pipeline.retrieve -> cache.recall -> families.generate -> pipeline.evidence

Read `pipeline/` first: assemble, ingest, retrieve, answer, evidence. Decision: `world/` (drawn
scenes whose facts are known) stands beside `media/` and not inside `training/`, because the demo,
the probes and the training data all draw from it and may not see each other.
"""
