"""VideoLLaMA 2: sound and picture together, arXiv:2406.07476.

model        the family: loading, frames and sound to tokens, prompts
net          towers, connectors and decoder under the released weight names
checkpoint   the released layout, adapters and connectors on a base, and what a config may ask for
prompts      the conversation layouts of the released checkpoints
stc          the spatial-temporal convolution connector
beats        the BEATs audio tower and its filter banks
"""
