"""Splicing: placeholders take visual tokens, in order and in number."""

import pytest
import torch
from torch import nn

from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID, splice, splice_batch

EMBED = nn.Embedding(8, 4)
IDS = torch.tensor([3, PLACEHOLDER_ID, PLACEHOLDER_ID, 5])
VISUAL = torch.arange(8.0).reshape(2, 4)


def test_placeholders_take_the_visual_tokens_in_order() -> None:
    rows = splice(EMBED, IDS, VISUAL)
    assert torch.equal(rows[1:3], VISUAL)
    assert torch.equal(rows[[0, 3]], EMBED(torch.tensor([3, 5])))


@pytest.mark.parametrize("n_given", [1, 3])
def test_a_wrong_number_of_visual_tokens_is_a_mistake(n_given: int) -> None:
    with pytest.raises(ValueError, match=f"2 placeholders for {n_given}"):
        splice(EMBED, IDS, torch.zeros(n_given, 4))


@pytest.mark.parametrize("pads_left", [False, True])
def test_samples_are_padded_and_visual_rows_are_not_learned(pads_left: bool) -> None:
    short = torch.tensor([1, 2])
    batch = splice_batch(
        EMBED,
        [(IDS, VISUAL), (short, VISUAL[:0])],
        [IDS, short],
        max_tokens=9,
        pads_left=pads_left,
    )
    ignored = [IGNORED_LABEL] * 2
    padded = [*ignored, 1, 2] if pads_left else [1, 2, *ignored]
    assert batch.labels.tolist() == [[3, *ignored, 5], padded]
    assert batch.is_real[1].tolist() == [label > 0 for label in padded]
    assert not batch.embeddings[1][~batch.is_real[1]].any()


def test_long_samples_lose_their_end() -> None:
    batch = splice_batch(EMBED, [(IDS, VISUAL)], [IDS], max_tokens=2)
    assert torch.equal(batch.embeddings[0], splice(EMBED, IDS, VISUAL)[:2])


def test_gradients_reach_text_and_visual_tokens() -> None:
    visual = VISUAL.clone().requires_grad_()
    splice(EMBED, IDS, visual).sum().backward()
    assert visual.grad is not None
    assert bool((visual.grad == 1).all())
