"""One file per run: `longwatch train RECIPE` imports it and calls `run(output, resume)`.

A recipe's docstring states its command, hours, hardware and the score to expect; `run` yields
`Progress` and leaves a checkpoint folder (`output/model`) where it makes one.
"""
