"""Speed and memory of the whole product: one file, one benchmark with `measure(*, model)`.

Those of the engine alone stand in `engine/evaluation/bench`; the ones here go through the sandbox,
a library or a server, which the engine does not know. `longwatch bench` runs both.
"""
