"""The shipped nano model from nothing: drawn chunks and stories, a CLIP pair, a decoder over VSTs.

frame_bank (frames drawn once) -> captions -> clip_stage   a CLIP pair that knows the drawn world
    -> stories, chunks -> questions -> decoder_stage       a decoder that reads VSTs
        -> export                                          a checkpoint in the released layout

run                  the plan, and the stages one after another
curriculum           what each step of the decoder stage recalls, and how much each loss weighs
summary              summary supervision: what a VST's row must name
packing              questions and answers as padded rows
batched_compression  many videos compressed side by side, equal to streaming
vocabulary           the tokenizer
keep_strategies      what else than VSTs may be kept of a chunk
baselines            the decoder stage over those, for comparison
refine               a checkpoint trained further on what it mixes up

Decision: `batched_compression` beside `models.video_xl.parallel_forward`, because that one runs one
sequence of media and texts in any order (fine-tuning, parity), while nano compresses many videos
and recalls any of their chunks, which is what the product asks of it.
Decision: three parts of a nano folder keep names on disk from before (`bank`, `tower`, `reader`),
because a run begun with an earlier version must find its files.
"""
