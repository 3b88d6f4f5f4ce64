"""The database and the layout of the home folder: all that outlives a process but latents.

    app -> catalog -> chunks -> videos -> tables, database
                      video_record, video_list, video_names    a row of a video, all of them, names
                      captions, observations -> full_text, tables, observation_tables, database
                      observation_record, kept_observations, tallies    their rows and counts
                      cameras, segments -> camera_tables, tables, database
                      jobs, probes, accounts, uploads -> tables, database
                      conversations -> conversation_tables; verdicts -> verdict_tables
                      alert_rules, alerts, deliveries, destinations -> alert_tables, database
                      objects -> object_tables, database
                      leases, sign_in_failures, nodes, workers, library_values -> server_tables
    app -> object_store, object_errors                    (what lies in a bucket, if there is one)
    app -> vectors -> vector_table -> vector_search -> vector_sql, vector_copy
                      vector_sessions -> database         (pgvector; loaded where it is used)
    app -> files, sidecar, camera_file                    (every path below the home folder)
    app -> backup, transfer -> table_rows                 (a copy; every row in another database)
    jobs, deliveries -> clocks, notifications -> database (who is told of a change, and when it is)
    chunks, videos, cameras -> fence                      (who lost a job writes nothing for it)
    database -> database_errors, read_only, server_facts, migrations/
    app -> records, camera_records, alert_records, object_records, verdict_records
                                                          (what goes in and comes out)

The only folder that imports sqlalchemy; it never imports torch. Records go in and come out: those
of `engine.records`, and those of `records.py` and its like for nouns that the engine does not
know. The application opens a `Catalog` and imports records and `files`, nothing deeper.

Decision: one file a noun behind `Catalog`, because one file for all of them passes 600 lines.
Decision: counters of a video are stored in its row, not summed, because a page polls them every
second and a day of video has 8 640 chunks; a test holds them equal to the sums. Revisit when a
second writer of chunks appears.
Decision: leases are compared with the clock of the server where there is one, for those of several
machines differ; with that of the only machine where the database is a file.
Decision: SQLite begins every write with BEGIN IMMEDIATE, because a read that turns into a write
half way fails at once under contention, whatever the busy timeout.
"""
