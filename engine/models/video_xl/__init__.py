"""Video-XL: hours of video as visual summarization tokens (VST), arXiv:2409.14485.

model              the family: loading, frames to tokens, streams, answers
net                the network under the released weight names
images             still images cut into tiles
vst                chunks compressed to the keys and values of interleaved VSTs; their KV cache
parallel_forward   the same computation in one pass over a whole sequence, for training
"""
