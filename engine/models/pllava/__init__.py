"""PLLaVA: dense captions of short clips by pooling over time and space, arXiv:2404.16994.

model     the family: loading, frames to tokens, answers; adapters fused at a chosen strength
net       the network under the released weight names
pooling   adaptive average pooling of a clip's tokens
prompts   the chat formats of the released checkpoints
"""
