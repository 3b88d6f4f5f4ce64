"""Speed and memory of the engine alone: one file, one benchmark with `measure(*, model)`.

Decision: benchmarks that go through the sandbox, a library or a server stand in
`app/services/benchmarks`, *because* the engine knows none of them; `longwatch bench` runs both
folders and writes one document.

Decision: figures are ratios of two ways in one run, each way in a process of its own, *because*
machines differ and peaks of memory would mix.
"""
