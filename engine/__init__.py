"""Tensors inside, records out: no database, server, page, environment variable or print.

    frames      media.source -> media.decode -> media.sample        frames with exact times
                pipeline.ingest -> models encode, compress          latents of one chunk
                cache (device > host > disk) and index              kept, searchable
    question    pipeline.query -> retrieve (index, attention)       hits, chunks to recall
                cache.recall -> models generate                     tokens
                pipeline.evidence                                   the spans that are shown

Read `pipeline/` first: config, engine, ingest, query, retrieve, scoring, search, answer, evidence.
A family is a folder below `models/`, a vector backend a file in `index/`, a benchmark a file in
`evaluation/benchmarks/`, an encoder or an observer one in `sight/`.

    records, tensors, probe_records    the words that everybody speaks, without and with tensors
    protocols, plugins    the seams, and the files of a folder as its plug-ins
    errors, files, plural    failures, files written whole or not at all, counts in words
    chunk_refs, vector_rows    many chunks as columns, vectors as a database holds them
    device, allocator    the card, and the memory that the C library keeps

*Decision*: the drawn world (`synthetic/`) stands beside `media/` and not inside `training/`.
*Because* the demo, the evaluation and the training data all draw from it and may not see each
other.
"""
