"""Drawn video whose facts are known: the demo's clip, probes' needles, nano's training data.

    palette -> canvas -> scene (a camera's view) ---+
                     \\-> actors (who passes)  ------+-> story (frames and events) -> questions
                     \\-> cards (needles)      ------+

    grammar              names, captions and templates: every word that is used of the world
    negatives            what is not shown: near misses, and questions no video can answer
    cards_in_footage     cards held up in footage that somebody filmed
    recordings           both kinds of video under one face, to measure on

*Decision*: numpy and OpenCV only, no torch. *Because* drawing a probe or a demo then loads no
model, and training, evaluation and demo may all draw from here without seeing each other.

*Decision*: every picture is laid out in fractions of width and height. *Because* the nano model
sees frames squashed to a square; what is readable at 640x360 is then readable at any aspect.

*Decision*: one short grammar for training, demo, probe and evaluation. An answer is a word or a
short sentence without any time. *Because* times shown to people come from evidence, never from
generated text.
"""
