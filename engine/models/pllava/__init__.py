"""PLLaVA: dense captions of short clips by pooling over time and space, arXiv:2404.16994.

model     the family: loading, frames to tokens, prompts; adapters fused at a chosen strength
net       the network under the released weight names, and the pooling of a clip
prompts   the conversation templates of the released checkpoints
"""
