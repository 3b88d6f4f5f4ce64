"""The parts of the CLIP stage against their slow forms."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.training.nano.captions import CARD, Phrase, unknown_facts
from engine.training.nano.clip_stage import (
    BatchSizes,
    ClipSizes,
    ClipStage,
    LabelledFrames,
    contrastive_loss,
    matching_frames,
    normalise_pixels,
    pool_patches,
)
from engine.training.nano.frame_bank import draw_cards, draw_clips, draw_distractors
from engine.training.nano.vocabulary import train_vocabulary


def card_facts(colour: int, shape: int) -> list[int]:
    return [CARD, colour, shape, 1, 2, -1, -1, -1]


def card_phrase(colour: int) -> Phrase:
    spec = unknown_facts()
    spec[:2] = CARD, colour
    return Phrase(text="card", specs=(tuple(spec),))


def test_patches_are_pooled_two_by_two_row_by_row() -> None:
    patches = torch.randn(3, 16, 5)
    grid = patches.view(3, 4, 4, 5)
    slow = [grid[:, r : r + 2, c : c + 2].mean((1, 2)) for r in (0, 2) for c in (0, 2)]
    torch.testing.assert_close(pool_patches(patches), torch.stack(slow, 1))


def test_a_text_fits_every_frame_that_meets_it_and_no_unknown_one() -> None:
    facts = np.array(
        [card_facts(0, 0), card_facts(0, 1), card_facts(1, 0), unknown_facts()], dtype=np.int16
    )
    fits = matching_frames([card_phrase(0), card_phrase(1)], facts, 1)
    assert fits.tolist() == [[True, True, False, False], [False, False, True, False]]


def test_of_one_right_answer_a_row_the_loss_is_that_of_the_clip_paper() -> None:
    logits = torch.randn(4, 4)
    target = torch.arange(4)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    torch.testing.assert_close(contrastive_loss(logits, torch.eye(4, dtype=torch.bool)), expected)


def test_several_right_answers_are_averaged_and_frames_without_text_left_out() -> None:
    logits = torch.randn(1, 3)
    fits = torch.tensor([[True, True, False]])
    to_frames = -F.log_softmax(logits, 1)[0, :2].mean()
    # Of one text alone every frame's softmax over texts is 1, and its loss 0.
    torch.testing.assert_close(contrastive_loss(logits, fits), to_frames / 2)


@pytest.fixture(scope="module")
def stage() -> ClipStage:
    frames, frame_facts, _ = draw_clips(5, 8)
    cards, facts, _ = draw_cards(5, 12, held_out=False)
    labelled = LabelledFrames(
        cards=cards,
        card_facts=facts,
        frames=frames.reshape(-1, *frames.shape[2:]),
        frame_facts=frame_facts.reshape(-1, frame_facts.shape[-1]),
        other=draw_distractors(5, 8),
    )
    sizes = ClipSizes(width=32, n_layers=2, n_heads=2, text_width=32, text_layers=1, text_heads=2)
    batch = BatchSizes(cards=6, frames=8, other=4)
    return ClipStage(sizes, labelled, labelled, train_vocabulary(), batch=batch)


def test_a_step_is_drawn_from_its_number_and_trains_both_towers(stage: ClipStage) -> None:
    stage.module.eval()
    torch.manual_seed(0)
    loss = stage.loss(3, 100)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    assert stage.loss(3, 100).item() == loss.item()
    for part in ("vision_model", "text_model", "visual_projection", "text_projection"):
        weights = stage.clip.get_submodule(part).parameters()
        assert any(weight.grad is not None and weight.grad.any() for weight in weights), part


def test_vectors_have_unit_norm_and_more_padding_changes_none(stage: ClipStage) -> None:
    stage.module.eval()
    with torch.no_grad():
        short = stage.encode_texts(["a red card", "a blue car driving to the left"])
        long = stage.encode_texts(["a red card", "a blue car driving to the left on the street"])
        patches, vectors = stage.encode_frames(normalise_pixels(draw_distractors(1, 2)))
    torch.testing.assert_close(long[0], short[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert patches.shape == (2, 16, 32)


def test_scores_name_the_facts_that_are_known(stage: ClipStage) -> None:
    stage.module.eval()
    with torch.no_grad():
        scores = stage.scores()
    assert {"kind", "colour", "shape", "digit_1", "digit_2", "place", "light"} <= set(scores)
    assert all(0 <= score <= 1 for score in scores.values())
