"""Apollo: two towers, clips of two seconds with their times in the prompt, arXiv:2412.10360.

model          the family: loading, frames to tokens, answers
net            towers, connector and decoder under the released weight names
checkpoint     the released layout: where each part's config and weights lie
clips          frames grouped into clips
resampler      the Perceiver resampler that compresses a clip
internvideo2   the video tower
"""
