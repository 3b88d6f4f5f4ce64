"""Apollo: two towers, clips of two seconds with their times in the prompt, arXiv:2412.10360.

model          the family: loading, frames to tokens, prompts
net            towers, connector and decoder under the released weight names
checkpoint     the released layout: a folder with config and weights for each part
prompts        the chat template, and the text that gives each clip its time
resampler      the Perceiver resampler that compresses a clip
internvideo2   the video tower
"""
