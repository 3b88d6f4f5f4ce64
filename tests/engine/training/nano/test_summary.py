"""Labels of summary supervision, frame by frame."""

import numpy as np
import torch
import torch.nn.functional as F

from engine.training.nano.captions import CARD
from engine.training.nano.chunks import Chunk, Facts
from engine.training.nano.summary import (
    CHUNK_TOKENS,
    SUMMARY_CLASSES,
    SummaryHeads,
    summary_labels,
    summary_loss,
)

CAR = [1, 2, -1, -1, -1, 1, 0, 1]
STREET = [-1, -1, -1, -1, -1, -1, 0, 1]
FACTS = Facts(
    clips=np.array([[STREET] * 4 + [CAR] * 4], dtype=np.int16),
    events=np.full((1, 2, 10), -1, dtype=np.int16),
    cards=np.array([[CARD, 3, 4, 5, 6, -1, -1, -1]], dtype=np.int16),
    n_real=1,
)
CHUNK = Chunk(0, ((0, 2, 1),), ())
"""A card in frame 2, a car in frames 4 to 7."""


def test_a_vst_names_the_frames_that_end_with_it() -> None:
    (labels,) = summary_labels([CHUNK], FACTS, 8).tolist()
    nothing = [0, -1, -1, -1, -1, CARD, -1, -1, 0, 1]
    card = [1, 3, 4, 5, 6, CARD, -1, -1, 0, 1]
    car = [0, -1, -1, -1, -1, 1, 2, 1, 0, 1]
    assert labels == [nothing, card, car, car]


def test_a_vst_of_half_a_frame_names_it_only_at_its_end() -> None:
    (labels,) = summary_labels([CHUNK], FACTS, 2).tolist()
    assert len(labels) == CHUNK_TOKENS // 2
    assert all(row == [-1] * len(SUMMARY_CLASSES) for row in labels[::2])
    assert [row[0] for row in labels[1::2]] == [0, 0, 1, 0, 0, 0, 0, 0]


def test_of_real_footage_only_the_absence_of_cards_and_actors_is_known() -> None:
    (labels,) = summary_labels([Chunk(1, (), ())], FACTS, 8).tolist()
    assert labels == [[0, -1, -1, -1, -1, CARD, -1, -1, -1, -1]] * 4


def test_the_loss_leaves_out_what_is_unknown() -> None:
    torch.manual_seed(0)
    heads = SummaryHeads(6)
    rows = torch.randn(1, 4, 6)
    labels = summary_labels([CHUNK], FACTS, 8)
    logits = heads(rows)
    assert [head.shape[-1] for head in logits] == list(SUMMARY_CLASSES)
    expected = torch.zeros(())
    for fact, head in enumerate(logits):
        known = labels[0, :, fact] >= 0
        expected = expected + F.cross_entropy(head[0, known], labels[0, known, fact])
    torch.testing.assert_close(summary_loss(logits, labels), expected)
