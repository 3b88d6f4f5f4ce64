"""The use cases, one function each: every rule has its one home here.

Routes, commands and pages call these and translate; nothing here knows a web request or a terminal.

    context      settings, catalog and engine, opened when needed; every use case takes it first
    access       which videos exist for a user; scope: where to look; hours, asked_time: when

Videos come in
    sources, feeds, sidecar       what users name, live sources read once, rows kept as files
    uploads, ingest, ingest_jobs, resume    bytes to files, files to chunks, and where it goes on
    recordings, wall_clock        files of one recording, and their clocks
    stills, pictures, previews, originals, captions    what is kept, shown and described of them
    observe, vectors, footage     observers and encoders over stills and sound, as jobs
    library, library_query, tags, overview    listed, searched, changed, removed, exported
    sample                        a drawn minute for a first visit

Questions
    ask, question_text            a question's checks and its answer
    answers, answerer             who answers: observations, a server of one's own, the model
    observed_footage, images      what a question is given: rows, still pictures
    search, search_rows, search_words, embeddings    moments for a phrase, and vectors of texts
    observations, moments, days   what was seen, chapters, and a day by the wall clock
    conversations, verdicts, chat    what is kept, what people said, OpenAI's form

Cameras
    camera_registry, camera_discovery, cameras    added and changed, found, their secrets
    filming, filming_jobs, frame_queue, recorder    read, queued, recorded
    timelines, camera_parts, playback    parts and gaps on one clock, and what plays
    camera_retention, camera_files, camera_evidence, evidence_check, signing    kept, handed on
    alert_rules, alert_conditions, alert_watch, alert_events, alert_gate, alert_reach,
    alert_silence, alerts         rules and what they raise
    destinations, delivery/       where alerts are sent, and how

A server and its people
    accounts, credentials, settings, status, background, job_kinds, jobs, retention
    backup, migrate, repair, reprocess, orphans    copied, moved, mended, made again, left over
    objects, object_list, home_objects, home_copies, orphan_objects    an object store
    servers, nodes, spread        several servers of one library, and what they ask each other

Measuring and making models
    models, model_fit, pull       what is here, what fits, what can be had
    capacity, capacity_fleet      whether a plan of cameras fits
    probes, needles, persistence, evaluation, benchmark_runs, curation, footage_eval, alert_eval,
    claim_fit                     how right answers, evidence, alerts and claims are
    bench, benchmarks/            how fast
    training, study, vico, recaption, describe_videos    runs, and data for them

Decision: functions that take a context, not methods of one class, because a class of forty methods
hides what each of them needs, and everything imported everything.
Decision: what long work reports is a `ProgressUpdate` or a `JobControl` (`app/progress.py`).
"""
