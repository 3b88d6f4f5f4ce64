"""The JSON of the HTTP API and of `--json`, one file a resource; one shape for both.

Times are float seconds from the start of the video, half-open, beside the same as text, and as
ISO 8601 when the video has a wall clock. `...Request` is what a client sends, `...Response` the
whole of an answer, `...Item` a part of one.

Decision: schemas hold no logic but `describe_*` functions from records to themselves, and import
neither torch nor a terminal, because `longwatch --help` and every command load them.
"""
