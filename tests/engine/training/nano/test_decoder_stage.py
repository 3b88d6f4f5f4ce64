"""The decoder stage over the features of a tiny run."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from engine.training.nano.chunks import Chunk
from engine.training.nano.curriculum import RecallSpec
from engine.training.nano.decoder_stage import DecoderStage, gather_features
from engine.training.nano.questions import POLISH_WEIGHTS
from engine.training.nano.run import decoder_config, open_features
from tests.support.short_training import TINY_NANO


@pytest.fixture
def stage(nano: Path) -> DecoderStage:
    tokenizer = Tokenizer.from_file(str(nano / "vocabulary.json"))
    features = open_features(nano, "test")
    config = decoder_config(TINY_NANO.decoder, tokenizer)
    return DecoderStage(config, features, features, tokenizer, n_chunks=16)


def test_the_projector_standardises_projects_and_pools_two_by_two(stage: DecoderStage) -> None:
    module, features = stage.module, torch.randn(2, 8, 16, 32)
    with torch.no_grad():
        hidden = F.gelu(module.inner((features - module.mean) / module.std)).view(2, 8, 4, 4, -1)
        blocks = [hidden[:, :, r : r + 2, c : c + 2].mean((2, 3)) for r in (0, 2) for c in (0, 2)]
        slow = module.outer(torch.stack(blocks, 2)).flatten(1, 2)
        torch.testing.assert_close(module.project(features), slow)


def test_cards_stand_in_the_place_of_their_frames(stage: DecoderStage) -> None:
    features = stage.held_out
    chunk = Chunk(3, ((1, 2, 2),), ())
    (gathered,) = gather_features(features, [chunk], np.random.default_rng(0))
    for frame in range(8):
        is_clip = torch.equal(gathered[frame], features.clips[3, frame])
        takes = [torch.equal(gathered[frame], take) for take in features.cards[1]]
        assert (is_clip, any(takes)) == (frame not in (2, 3), frame in (2, 3))
    assert not torch.equal(features.clips[3, 2], gathered[2]), "the bank itself is not written to"


def test_a_step_follows_from_its_number_and_trains_every_part(stage: DecoderStage) -> None:
    loss = stage.loss(1, 100)
    loss.backward()  # type: ignore[no-untyped-call]
    assert stage.loss(1, 100).item() == loss.item()
    assert stage.loss(2, 100).item() != loss.item()
    without = [name for name, weight in stage.module.named_parameters() if weight.grad is None]
    assert without == []


def test_polishing_draws_other_steps_from_the_end_of_the_curriculum(stage: DecoderStage) -> None:
    before = stage.loss(1, 100).item()
    stage.polish(POLISH_WEIGHTS)
    assert stage.name == "polish"
    assert stage.loss(1, 100).item() != before


def test_measuring_counts_every_question_once_and_repeats(stage: DecoderStage) -> None:
    recall = RecallSpec(n_chunks=4, ratio=8)
    with torch.no_grad():
        counts = stage.measure(recall, n_rounds=1)
        assert counts == stage.measure(recall, n_rounds=1)
    assert sum(n for _, n in counts.values()) == 16 * 8
    assert all(0 <= right <= n for right, n in counts.values())
