"""Drawn video whose facts are known: the demo's clip, the probe's needles, nano's training data.

    palette -> canvas -> scene (a camera's view) ---+
                     \\-> actors (who passes)  ------+-> story (frames and events) -> questions
                     \\-> cards (needles)      ------+

Decision: numpy and OpenCV only, no torch, so that a probe or a demo costs no model to draw.
Decision: every picture is laid out in fractions of width and height, because the nano model sees
frames squashed to a square; what is readable at 640x360 is then readable at any aspect.
Decision: one short grammar (`questions.py`) for training, demo, probe and evaluation. An answer is
a word or a short sentence without any time: times shown to people come from evidence, never from
generated text.
"""
