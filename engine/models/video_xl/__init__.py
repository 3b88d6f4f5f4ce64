"""Video-XL: hours of video as visual summarization tokens (VST), arXiv:2409.14485.

model              the family: loading, frames to tokens, streams, answers
net                the network under the released weight names
vst                chunks interleaved with VSTs, compressed to keys and values
parallel_forward   the same computation in one pass over a whole sequence, for training
"""
