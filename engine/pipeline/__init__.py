"""The flow, in five files, read in this order.

    assemble   EngineConfig -> Engine: model, cache, index, and the fingerprint of their pipeline
    ingest     frames -> visual tokens -> latents -> cache (disk first) and index, chunk by chunk
    retrieve   question -> hits, each with its support, and the chunks to recall
    answer     chunks -> recalled latents -> tokens, then the Answer
    evidence   hits and attention mass -> the spans that are shown

`wording` beside them holds the rules on a question's words: which phrase to look for, and whether
it asks about one thing or about the whole.

*Decision*: ingest and answer are generators. *Because* the caller then owns threads, progress and
the database, and leaving off at any yield is safe: what was yielded is on disk.
"""
