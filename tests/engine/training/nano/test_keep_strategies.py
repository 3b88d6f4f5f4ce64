from pathlib import Path

import numpy as np
import pytest
import torch

from engine.training.nano.batched_compression import run_prefix
from engine.training.nano.chunks import draw_chunk
from engine.training.nano.keep_strategies import KEEP_STRATEGIES, pool, sampled_tokens
from engine.training.nano.summary import CHUNK_TOKENS
from tests.engine.training.nano.test_baselines import open_stage
from tests.support.short_training import TINY_NANO

RATIOS = (2, 4, 8, 16)


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_pooled_row_is_the_mean_of_what_a_vst_in_its_place_summarises(ratio: int) -> None:
    tokens = torch.randn(2, 3, CHUNK_TOKENS, 5)
    slow = torch.stack([part.mean(2) for part in tokens.split(ratio, 2)], 2)
    torch.testing.assert_close(pool(tokens, ratio), slow)


def test_sampled_frames_are_whole_and_lie_in_the_middle_of_equal_parts() -> None:
    assert sampled_tokens(8).tolist() == [16, 17, 18, 19]
    assert sampled_tokens(4).tolist() == [8, 9, 10, 11, 24, 25, 26, 27]
    assert sampled_tokens(16).tolist() == sampled_tokens(8).tolist()
    assert KEEP_STRATEGIES["uniform"].chunks_kept(8) == slice(0, None, 1)
    assert list(range(8))[KEEP_STRATEGIES["uniform"].chunks_kept(16)] == [1, 3, 5, 7]


@pytest.mark.parametrize("variant", KEEP_STRATEGIES)
def test_a_variant_keeps_its_rows_and_names_every_one(variant: str, nano: Path) -> None:
    stage = open_stage(variant, nano)
    decoder, strategy = stage.module.decoder, KEEP_STRATEGIES[variant]
    sink = run_prefix(decoder, torch.randn(3, TINY_NANO.decoder.width))
    rng = np.random.default_rng(0)
    chunks = [draw_chunk(rng, stage.held_out.facts, real=0.2, cards=1.0) for _ in range(4)]
    for ratio in RATIOS:
        part = strategy.chunks_kept(ratio)
        tokens = torch.randn(1, 4, CHUNK_TOKENS, TINY_NANO.decoder.width)[:, part]
        compressed = strategy.keep(decoder, tokens, sink, ratio, 8)
        assert compressed.kv[0][0].shape[2] == 4 * 8 * strategy.rows_per_frame(ratio)
        labels = strategy.labels(chunks[part], stage.held_out.facts, ratio)
        assert labels.shape[:2] == compressed.middle.shape[1:3]
        assert (labels >= 0).any()


def test_uniform_sampling_never_sees_the_frames_between(nano: Path) -> None:
    decoder = open_stage("uniform", nano).module.decoder
    sink = run_prefix(decoder, torch.randn(3, TINY_NANO.decoder.width))
    tokens = torch.randn(1, 2, CHUNK_TOKENS, TINY_NANO.decoder.width)
    other = torch.randn_like(tokens)
    other[:, :, sampled_tokens(8)] = tokens[:, :, sampled_tokens(8)]
    for ours, theirs in zip(
        KEEP_STRATEGIES["uniform"].keep(decoder, tokens, sink, 8, 8).kv,
        KEEP_STRATEGIES["uniform"].keep(decoder, other, sink, 8, 8).kv,
        strict=True,
    ):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
