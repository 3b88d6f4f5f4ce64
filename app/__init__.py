"""The shell around engine and storage: what people and programs meet.

    cli/                 commands of a terminal
    server, api/, ui/    one process of a server: the HTTP API and the pages
    ipc/                 commands run by the server of the same library
    worker/              jobs as rows with leases, their handlers, and jobs run at once
    services/            the use cases: one function each, one home for every rule
    schemas/             the JSON of requests and responses, commands included
    config/ sandbox/     settings; foreign media in a child process
    lmms_plugin/         the engine as a model of lmms-eval
    errors, logging, progress    failures, records, how far work is: words that all of them share
    timefmt, sizes, webvtt       times, bytes and captions as people and players read them
    machine, version, field_docs    cores and memory, the installed version, texts below fields

Decision: imports go down this list and never up, and import-linter holds it, because a use case
that knows a page or a terminal cannot be called from the other.
Decision: `worker` stands above `services`, because the map from a job's kind to its use case
(`worker/handlers.py`) has to import all of them, and none of them the queue: what a use case says
and hears while it works is a `JobControl`.
Decision: `ui` stands above `api`, because handlers of pages run in the server and call what routes
call: the checks, the queue of the model, the services. The sign-in page is a route without Gradio.
"""
