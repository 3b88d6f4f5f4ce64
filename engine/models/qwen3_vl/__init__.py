"""Qwen3-VL: an answerer for a card, with frames in their own aspect, arXiv:2511.21631.

model     the family: loading, frames to tokens, prompts
net       tower and decoder under the released weight names
vision    the tower: positions of any grid, features of several depths (DeepStack)
frames    the resize of its video processor; images: that of still images
prompts   the chat template, and the text that gives each pair of frames its time
"""
