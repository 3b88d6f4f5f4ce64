from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.nano.batched_fold import run_prefix
from engine.training.nano.chunks import draw_chunk
from engine.training.nano.decoder_stage import CHUNK_TOKENS
from engine.training.nano.memories import MEMORIES, pool, sampled
from tests.engine.training.nano.test_baselines import NANO, open_stage
from tests.engine.training.nano.test_baselines import nano as nano

RATIOS = (2, 4, 8, 16)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_pooled_row_is_the_mean_of_what_a_vst_in_its_place_summarises(ratio: int) -> None:
    tokens = torch.randn(2, 3, CHUNK_TOKENS, 5)
    slow = torch.stack([part.mean(2) for part in tokens.split(ratio, 2)], 2)
    torch.testing.assert_close(pool(tokens, ratio), slow)


def test_sampled_frames_are_whole_and_lie_in_the_middle_of_equal_parts() -> None:
    assert sampled(8).tolist() == [16, 17, 18, 19]
    assert sampled(4).tolist() == [8, 9, 10, 11, 24, 25, 26, 27]
    assert sampled(16).tolist() == sampled(8).tolist()
    assert MEMORIES["uniform"].part(8) == slice(0, None, 1)
    assert list(range(8))[MEMORIES["uniform"].part(16)] == [1, 3, 5, 7]


@pytest.mark.parametrize("arm", MEMORIES)
def test_an_arm_keeps_its_budget_and_names_every_row(arm: str, nano: Path) -> None:
    stage = open_stage(arm, nano)
    decoder, kept = stage.module.decoder, MEMORIES[arm]
    sink = run_prefix(decoder, torch.randn(3, NANO.width))
    rng = np.random.default_rng(0)
    chunks = [draw_chunk(rng, stage.held_out.facts, real=0.2, cards=1.0) for _ in range(4)]
    for ratio in RATIOS:
        part = kept.part(ratio)
        tokens = torch.randn(1, 4, CHUNK_TOKENS, NANO.width)[:, part]
        folded = kept.keep(decoder, tokens, sink, ratio, 8)
        assert folded.kv[0][0].shape[2] == 4 * 8 * kept.budget(ratio)
        labels = kept.labels(chunks[part], stage.held_out.facts, ratio)
        assert labels.shape[:2] == folded.middle.shape[1:3]
        assert (labels >= 0).any()


def test_uniform_sampling_never_sees_the_frames_between(nano: Path) -> None:
    decoder = open_stage("uniform", nano).module.decoder
    sink = run_prefix(decoder, torch.randn(3, NANO.width))
    tokens = torch.randn(1, 2, CHUNK_TOKENS, NANO.width)
    other = torch.randn_like(tokens)
    other[:, :, sampled(8)] = tokens[:, :, sampled(8)]
    for one, two in zip(
        MEMORIES["uniform"].keep(decoder, tokens, sink, 8, 8).kv,
        MEMORIES["uniform"].keep(decoder, other, sink, 8, 8).kv,
        strict=True,
    ):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])
