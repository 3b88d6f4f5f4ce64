"""The use cases, one function each: every rule has its one home here.

Routes, commands and pages call these and translate; nothing here knows a web request or a terminal.

    context      settings, catalog and engine, opened when needed; every use case takes it first
    access       which videos exist for a user
    scope        where to look: videos, bounds, hours of a day
    ask          questions and searches            conversations  questions that are kept
    days, moments   what happened when             verdicts       what people said of moments
    library      list, rename, remove, export      ingest, sources, uploads  how videos come in
    cameras      their secrets, kept apart
    captions, probes, needles     what is made of a video
    pictures, stills, previews    what is seen of it
    accounts, credentials, settings, retention, jobs   a server and its people
    servers, nodes, spread        several servers of one library, and what they ask each other
    evaluation, models, training, vico, bench      measuring and making models

Decision: functions that take a context, not methods of one class, because a class of forty methods
hides what each of them needs, and everything imported everything.
Decision: what long work reports is a `ProgressUpdate` or a `JobControl` (`app/progress.py`).
"""
