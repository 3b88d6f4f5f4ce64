"""VICO: samples about the order of visual clues, made from any videos (Video-XL, section 4).

clues       captions of clips to what is seen once
samples     clues to questions with answers
templates   the wording of the questions
"""
