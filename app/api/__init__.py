"""The HTTP API: routes translate a request, call a service, and translate its result back.

    access_log  the outermost middleware: request id, access log, the answer to a bug
    auth        the gate: sessions, tokens, CSRF, security headers; rate_limit of sign-ins
    body_limit  bytes and seconds of a request
    sign_in     the sign-in page
    deps        what every route is given: the context, the user, the queue of the model
    errors      errors to statuses and `ErrorResponse`
    openapi     the OpenAPI document; docs shows it at /docs
    videos      the library, timelines, captions, ingest
    media       files, frames, clips and tracks of a video, with Range
    uploads     resumable uploads (tus 1.0)
    ask         questions and searches, streamed or whole; conversations
    probes      needle runs; needles are the sets of pictures they plant
    jobs        background jobs
    alerts      alerts, the rules that raise them, where they are sent
    audit       who created, changed or deleted what, in the log
    users       the session, accounts, tokens; how the server is configured
    settings    settings that can be changed in the browser; capacity for a plan of cameras
    health      liveness, readiness, metrics
    openai      /v1/chat/completions
    nodes       questions of the other servers of a library, signed; no part of the public API

Decision: no route reads or writes the catalog itself, because a rule that stands in a route does
not hold for the command beside it (`tests/app/test_rules.py` walks every entrance).
Decision: the pages have no private routes. Whatever they show comes from `/api/v1`, so that a
script can do what a page can, and one table of tests holds who may do it.
"""
