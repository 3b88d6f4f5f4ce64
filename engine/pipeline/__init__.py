"""The flow, in five files, read in this order.

    assemble   EngineConfig -> Engine: model, cache, index, and the fingerprint of their pipeline
    ingest     frames -> visual tokens -> latents -> cache (disk first) and index, chunk by chunk
    retrieve   question -> hits, each with its support, and the chunks to recall
    answer     chunks -> recalled latents -> tokens, then the Answer
    evidence   hits and attention mass -> the spans that are shown

`caption` walks the stored chunks once more and has each described.
Two files beside them hold rules: `wording` what a question looks for, and whether it asks about
one thing or about the whole; `signals` what speaks for a chunk, and how much that is worth.

*Decision*: ingest and answer are generators. *Because* the caller then owns threads, progress and
the database, and leaving off at any yield is safe: what was yielded is on disk.
"""
