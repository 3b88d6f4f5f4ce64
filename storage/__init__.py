"""The database and the layout of the home folder: all that outlives a process but latents.

    app -> catalog -> chunks -> videos -> tables, database
                      captions, observations -> full_text, tables, observation_tables, database
                      cameras, segments -> camera_tables, tables, database
                      jobs, conversations, probes, accounts, uploads, verdicts -> tables, database
                      alert_rules, alerts, deliveries, destinations -> alert_tables, database
    app -> files                                          (every path below the home folder)
    app -> records                                        (what goes in and comes out)

The only folder that imports sqlalchemy; it never imports torch. Records go in and come out: those
of `engine.records`, and those of `records.py` and `alert_records.py` for nouns that the engine does
not know. The application opens a `Catalog` and imports records and `files`, nothing deeper.

Decision: one file a noun behind `Catalog`, because one file for all of them passes 600 lines.
Decision: counters of a video are stored in its row, not summed, because a page polls them every
second and a day of video has 8 640 chunks; a test holds them equal to the sums. Revisit when a
second writer of chunks appears.
Decision: leases are compared with the clock of the worker, not of the database, so that tests
need not sleep; workers on several machines must agree to a few seconds, leases last 30.
Decision: SQLite begins every write with BEGIN IMMEDIATE, because a read that turns into a write
half way fails at once under contention, whatever the busy timeout.
"""
