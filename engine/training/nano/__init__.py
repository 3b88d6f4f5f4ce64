"""The shipped nano model from nothing: drawn chunks and stories, a CLIP pair, a decoder over VSTs.

frame_bank (frames drawn once) -> captions -> clip_stage   a CLIP pair that knows the drawn world
    -> stories, chunks -> questions -> decoder_stage       a decoder that reads VSTs
        -> export                                          a checkpoint in the released layout
        -> baselines, memories -> baseline_probe           other memories, taught the same
run          the stages one after another
batched_fold many videos compressed side by side
vocabulary   the tokenizer
"""
