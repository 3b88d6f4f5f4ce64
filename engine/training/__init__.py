"""Teaching a model to live on VST latents: drawn worlds, or people's own video with questions.

    bank (frames drawn once) -> phrases -> tower_stage          a CLIP pair that knows the world
        -> reels, chunks -> quiz (questions) -> reader_stage    a decoder that reads VSTs
            -> export                                           a checkpoint in the released layout
            -> baselines -> baseline_probe                      other memories, taught the same
    samples (LLaVA-style JSON) -> seen (their media) -> tuning  people's files, checked and drawn
        -> conversation -> video_xl -> recipes.{finetune,video_xl}    windows folded into VSTs
        -> recipes.{apollo,pllava,videollama2}                  the other papers' stages, as data
    clips (captions of 14 s) -> clues -> vico                   samples about order, from any videos
    every stage -> loop (steps, resume) -> checkpoint, curves   killed at any moment, ends the same
        -> processes                                            one or several, the same weights

Decision: everything random in a step is drawn from (seed, step), so the step number is the data
position and resuming needs no state but weights, optimiser and step.
Decision: several processes average their gradients themselves before clipping, because stages call
parts of their module, past the forward pass that a DDP wrapper would watch; it costs the overlap of
backward pass and exchange. Process i of n takes micro-batches i, i + n, ...: two processes end with
the weights of one that accumulates two (tested). Running means of batches are the main process's.
Decision: two one-pass forms. `nn.one_pass` runs one sequence of media and texts in any order
(fine-tuning, parity); `fold_batch` folds many videos and lets readers recall any of their
chunks (nano), which is what the product asks of it.
Decision: attention spelled out in `fold_batch`, because the fused kernel's backward pass took half
of every step on the CPU (measured: 33 ms against 3 ms a layer at 280 x 17 rows, bfloat16).
"""
