"""Training: nano from nothing, fine-tuning of every family, and samples about order (VICO).

    loop          steps, curves and checkpoints of any task; killed at any moment, it ends the same
    checkpoint, curves, distributed    what the loop writes, and several processes with one result
    data/         people's samples and captions, read, checked and labelled
    finetune/     the families' stages over such samples
    nano/         the shipped model, from drawn video
    vico/         samples about order, from captions of any videos
    recipes/      one file a command: `longwatch train RECIPE`

Each subpackage has its own table of contents. `data` imports nothing of the others; `finetune`,
`nano` and `vico` do not see each other.

Decision: everything random in a step is drawn from (seed, step), so the step number is the data
position and resuming needs no state but weights, optimiser and step.
Decision: several processes average their gradients themselves before clipping, because tasks call
parts of their module, past the forward pass that a DDP wrapper would watch; it costs the overlap of
backward pass and exchange. Process i of n takes micro-batches i, i + n, ...: two processes end with
the weights of one that accumulates two (tested). Running means of batches are the main process's.
"""
