"""VideoLLaMA 2: sound and picture together, arXiv:2406.07476.

model        the family: loading, frames and sound to tokens, answers
net          towers, connectors and decoder under the released weight names
checkpoint   the released layout, and what a config asks for
prompts      the chat formats of the released checkpoints
stc          the spatial-temporal convolution connector
beats        the BEATs audio tower
"""
