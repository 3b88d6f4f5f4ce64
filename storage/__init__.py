"""Rows and files that outlive a process: the only folder that imports sqlalchemy, never torch.

    app -> catalog -> videos, captions, jobs, conversations, probes, accounts, uploads
                              -> tables -> database
    app -> blobs                                                    (files below the home folder)

Records go in and records come out: those of `engine.records`, and those of `rows.py` for nouns
that the engine does not know. App opens a `Catalog` and imports `rows` and `blobs`, nothing deeper.

Decision: one file a noun behind `Catalog`, because one file for all of them passes 600 lines.
Decision: counters of a video are kept in its row, not summed, because a page polls them every
second and a day of video has 8 640 chunks; a test holds them equal to the sums. Revisit when a
second writer of chunks appears.
Decision: leases are compared with the clock of the worker, not of the database, so that tests
need not sleep; workers on several machines must agree to a few seconds, leases last 30.
Decision: SQLite begins every write with BEGIN IMMEDIATE, because a read that turns into a write
half way fails at once under contention, whatever the busy timeout.
"""
