"""Training: nano from nothing, fine-tuning of every family, and samples about order (VICO).

    loop          steps, curves and checkpoints of any task; killed at any moment, it ends the same
    checkpoint, curves    what the loop writes
    distributed, sharding    several processes with one result, with copies of the weights or shards
    live_bytes    peak of what a piece of work holds
    data/         people's samples and captions, read, checked and labelled
    finetune/     the families' stages over such samples
    nano/         the shipped model, from drawn video
    vico/         samples about order, from captions of any videos
    study/        grids of small variants: which decisions carry over between sizes
    recipes/      one file a command: `longwatch train RECIPE`

Each subpackage has its own table of contents. `data` imports nothing of the others; `finetune`,
`nano` and `vico` do not see each other, and `study` trains variants of `nano`.

Decision: everything random in a step is drawn from (seed, step), so the step number is the data
position and resuming needs no state but weights, optimiser and step.
Decision: several processes average their gradients themselves before clipping, because tasks call
parts of their module, past the forward pass that a DDP wrapper would watch; it costs the overlap of
backward pass and exchange. Process i of n takes micro-batches i, i + n, ...: two processes end with
the weights of one that accumulates two (tested). Running means of batches are the main process's.
Decision: weights are sharded by torch's FSDP2 under our own loop, because it gathers layers that
are run by parts, frozen and learning ones together, and runs on a CPU, where it is tested. Samples
of one micro-batch each exchange the gradients of every layer. *Revisit when* it was measured on
several cards.
"""
