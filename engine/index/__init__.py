"""Vector indexes over the frames of many videos; one file is one backend with `open_index`.

*Decision*: an index file is a copy that may be lost. *Because* every chunk's latent file holds
its frame vectors: an index that is missing, stale, corrupt or of another fingerprint starts empty
and is filled from those.

*Decision*: filters are exact, by row masks, in every backend. *Because* "this camera, last night"
is the common question, and filtering after a top-k search loses hits.

*Decision*: one `search` returns hits and score statistics together. *Because* no cosine means
anything but in comparison with the others of its query, and one pass over the rows gives both.
"""
