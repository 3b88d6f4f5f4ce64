"""Vector indexes over the frames of many videos; one file is one backend with `open_index`.

    segments     archives: files that are mapped; exact: the oracle; pgvector: PostgreSQL
    _manifest, _segment, _file    what is saved: the list of files, a stretch, an index of one file
    _saving, _compaction, _coding    its growing end, its files written anew, its codes made
    _codes, _overview    short codes of vectors, and two vectors for each chunk
    _search, _estimates, _selection    an answer by all rows or by codes, within a scope
    _rows, _table, _places    which frame of which chunk a row is

*Decision*: an index file is a copy that may be lost. *Because* every chunk's latent file holds
its frame vectors: an index that is missing, stale, corrupt or of another fingerprint starts empty
and is filled from those.

*Decision*: filters are exact, by row masks, in every backend. *Because* "this camera, last night"
is the common question, and filtering after a top-k search loses hits.

*Decision*: one `search` returns hits and score statistics together. *Because* no cosine means
anything but in comparison with the others of its query, and one pass over the rows gives both.

*Decision*: `segments` is the backend of every library, `exact` the slow one that tests compare
with. *Because* a save that writes all of a million vectors, and a removal that looks at each of
them, hold up whoever asks.

*Decision*: a save writes what has no file, lists what was removed, and nothing else; segments are
merged and rid of what was removed on a thread, in a folder of its own. *Because* one removed video
had a save copy a gigabyte of others, and every ingest and removal saves.

*Decision*: codes are made on a thread beside everything else. *Because* centres of a million
vectors take half a minute, and neither an ingest nor a question may wait for them. The process that
makes them ends when they are written.

*Decision*: where codes find too little of what is nearest, two vectors stand for each chunk, and
what the caller's own ranking likes of them is looked at frame by frame. *Because* probabilities of
classes are no directions: codes found 0.2 of the ten nearest of those of real footage, the overview
0.93 at a sixth of the time of a pass over all rows, and what it misses is as good to 0.05 in
log-odds. What it costs beside the vectors is a fifth of their bytes.

*Decision*: two recalls are measured of codes: of the nearest of all rows, and of the nearest among
rows too far apart to be pictures of one scene. *Because* a still resembles its scene, of which the
index holds many rows, and codes serve whoever asks so; a phrase wants what is alike across scenes.
With the second alone an archive of a million vectors of many unlike scenes had no codes at all.

*Decision*: `pgvector` knows no SQL: it is handed a table that fulfils `VectorTable` of
`engine/vector_rows.py`, which `storage/vectors.py` does, and the configuration brings the two
together (`app/config/index_choice.py`). *Because* the engine knows no database, and where vectors
lie is a choice of who installs it. `marks` and `save` mean there what they mean here; what others
add or remove is asked for before every search, and `SharedIndex` says that others do.

*Decision*: searches stay on the CPU even where FAISS has a GPU; it seeks the centres there.
*Because* a search by codes takes a millisecond or two, and the card is the model's. *Not measured*:
no GPU was there. *Revisit* when one is.
"""
