"""SmolVLM2: an answerer for a machine without a card, arXiv:2504.05299.

model     the family: loading, frames to tokens, prompts
net       tower, pixel shuffle, connector and decoder under the released weight names
frames    the resize of its video processor; images: still images cut into tiles
prompts   the chat template, and the text that gives each frame its time
"""
