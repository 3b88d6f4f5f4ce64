"""Measures the shipped nano model as its card reports it: `python -m tests.bench.nano_report`.

Everything goes through the product's own pipeline: frames are encoded, folded, stored and
indexed, questions are retrieved for and answered. Seeds and card combinations are held out from
training; real haystacks are recordings that training did not see.
"""
