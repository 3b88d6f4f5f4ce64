"""The HTTP API: routes translate a request, call a service, and translate its result back.

    access_log  the outermost middleware: request id, access log, the answer to a bug
    auth        the gate: sessions, tokens, CSRF, security headers; rate_limit of sign-ins
    body_limit  bytes and seconds of a request
    sign_in     the sign-in page
    deps        what every route is given: the context, the user, the queue of the model
    errors      errors to statuses and `ErrorResponse`; openai_errors below /v1/
    rejection   the answer to a request that may not pass
    assets, brand   files of our pages, and the mark that all of them bear
    openapi     the OpenAPI document; docs shows it at /docs
    videos      the library, timelines, captions, ingest
    observations, moments   what was seen in a video, and its chapters; days by the wall clock
    cameras     cameras and their recordings
    media       files, frames, clips and tracks of a video, with Range; ranges of what is no file
    uploads     resumable uploads (tus 1.0)
    ask         questions and searches, streamed or whole; conversations
    questions   what they share with the pages; model_queue is the line in front of the model
    verdicts    what people said of moments
    probes      needle runs; needles are the sets of pictures they plant
    jobs        background jobs
    alerts      alerts, the rules that raise them, where they are sent
    audit       who created, changed or deleted what, in the log
    users       the session, accounts, tokens; how the server is configured
    settings    settings that can be changed in the browser; capacity for a plan of cameras
    models      what answers and looks at footage, and what could
    health      liveness, readiness, metrics
    openai      /v1/chat/completions, /v1/embeddings
    nodes       questions of the other servers of a library, signed; no part of the public API

Decision: no route reads or writes the catalog itself, because a rule that stands in a route does
not hold for the command beside it (`tests/app/test_rules.py` walks every entrance).
Decision: the pages have no private routes: their handlers call the functions of these routes, or
the same services, so that a script can do what a page can, and one table of tests holds who may.
"""
