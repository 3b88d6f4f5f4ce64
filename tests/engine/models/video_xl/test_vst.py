"""Compressing and scoring chunks against the slow, obvious way, on fresh random sizes."""

import random
from collections.abc import Sequence

import pytest
import torch

import engine.models.layers.attention
from engine.evaluation.reference_video_xl import ReferenceVideoXl
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build
from engine.models.video_xl.vst import (
    VstCache,
    compress_chunk,
    interleave,
    open_cache,
    prefill_prefix,
    score_chunks,
)
from engine.tensors import KvLatents
from tests.support.random_video_xl import fork, initialise

CPU = torch.device("cpu")
PREFIX = [3, 1, 4, 1, 5]


def _net(seed: int) -> tuple[VideoXlNet, ReferenceVideoXl]:
    """A random net of random sizes, twice: ours and the slow one, on the same numbers."""
    choose = random.Random(seed)
    n_kv_heads = choose.choice((1, 2, 3))
    config = DecoderConfig(
        vocab_size=choose.randint(30, 90),
        width=choose.choice((24, 40, 56)),
        mlp_width=choose.choice((32, 72)),
        n_layers=choose.randint(1, 4),
        n_heads=n_kv_heads * choose.choice((1, 2, 4)),
        n_kv_heads=n_kv_heads,
        head_dim=choose.choice((8, 12)),
        rope_theta=choose.choice((1e4, 1e6)),
        qkv_bias=True,
        has_vst=True,
    )
    shape = VideoXlConfig(decoder=config, chunk_tokens=64, compression_ratios=(4,), eos_ids=(2,))
    net = initialise(build(shape, CPU, torch.float32), seed=seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter.detach()[slot.rows] for key, slot in slots(net).items()}
    return net, ReferenceVideoXl(weights, config.to_json())


def _fresh(net: VideoXlNet) -> VstCache:
    return open_cache(
        net.decoder, prefill_prefix(net.decoder, net.decoder.embed(torch.tensor(PREFIX)))
    )


@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_streaming_equals_the_slow_way(
    seed: int, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_long:
        monkeypatch.setattr(engine.models.layers.attention, "DENSE_ENTRIES", 0)
    torch.manual_seed(seed)
    choose = random.Random(seed)
    net, slow = _net(seed)
    question = [choose.randrange(30) for _ in range(choose.randint(1, 9))]
    leftover = slow_leftover = 0
    is_closed = choose.random() < 0.5
    with torch.inference_mode():
        cache = _fresh(net)
        slow.read_text(PREFIX)
        for _ in range(choose.randint(1, 5)):
            ratio, n = choose.choice((1, 2, 4, 5, 8)), choose.randint(8, 40)
            visual = torch.randn(n, net.decoder.config.width)
            plan = interleave(n, ratio, leftover=leftover % ratio, is_closed=is_closed)
            slow_leftover = slow.read_chunk(
                visual, ratio, leftover=slow_leftover % ratio, is_closed=is_closed
            )
            leftover = plan.leftover
            assert leftover == slow_leftover
            cache.append((compress_chunk(visual, cache, plan),))
        rows = net.decoder.embed(torch.tensor(question))[None]
        hidden = net.decoder.extend(rows, fork(cache, len(question)))
        ours, expected = net.decoder.logits(hidden[0]), slow.read_text(question)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=2e-4)


def test_recalled_chunks_equal_never_evicted_ones_byte_for_byte() -> None:
    net, _ = _net(3)
    with torch.inference_mode():
        never = _fresh(net)
        stored = []
        for _ in range(6):
            latents = compress_chunk(
                torch.randn(24, net.decoder.config.width), never, interleave(24, 4)
            )
            never.append((latents,))
            stored.append(_as_file(latents))
        sink = prefill_prefix(net.decoder, net.decoder.embed(torch.tensor(PREFIX)))
        recalled = open_cache(net.decoder, sink, stored)
    n = never.buffer.n
    assert recalled.buffer.n == n
    assert torch.equal(recalled.buffer.keys[..., :n, :], never.buffer.keys[..., :n, :])
    assert torch.equal(recalled.buffer.values[..., :n, :], never.buffer.values[..., :n, :])


@pytest.mark.parametrize("limit", [0, 6, 7, 13, 100])
def test_a_resumed_cache_equals_one_that_ran_on_byte_for_byte(limit: int) -> None:
    net, _ = _net(5)
    torch.manual_seed(0)
    sizes = (24, 24, 10, 24, 24, 24)
    with torch.inference_mode():
        sink = prefill_prefix(net.decoder, net.decoder.embed(torch.tensor(PREFIX)))
        running = open_cache(net.decoder, sink, max_latents=limit)
        stored: list[KvLatents] = []
        for n in sizes:
            plan = interleave(n, 4, is_closed=True)
            visual = torch.randn(n, net.decoder.config.width)
            resumed = open_cache(net.decoder, sink, stored, max_latents=limit)
            stored.append(compress_chunk(visual, running, plan))
            again = compress_chunk(visual, resumed, plan)
            assert torch.equal(again.keys, stored[-1].keys)
            assert torch.equal(again.values, stored[-1].values)
            running.append((stored[-1],))
            assert running.n_latents <= limit


def test_compressing_leaves_the_cache_as_it_was() -> None:
    net, _ = _net(4)
    with torch.inference_mode():
        cache = _fresh(net)
        cache.append(
            (compress_chunk(torch.randn(32, net.decoder.config.width), cache, interleave(32, 4)),)
        )
        before, n = cache.buffer.keys[..., : cache.buffer.n, :].clone(), cache.buffer.n
        compress_chunk(torch.randn(32, net.decoder.config.width), cache, interleave(32, 4))
    assert cache.buffer.n == n
    assert torch.equal(cache.buffer.keys[..., :n, :], before)


@pytest.mark.parametrize(
    ("n", "ratio", "leftover", "is_closed", "vst", "left"),
    [
        (6, 2, 0, False, [2, 5, 8], 0),
        (5, 2, 0, False, [2, 5], 1),
        (5, 2, 1, False, [1, 4, 7], 0),
        (5, 2, 0, True, [2, 5, 7], 0),
        (3, 8, 0, False, [], 3),
        (3, 8, 0, True, [3], 0),
        (2, 1, 0, False, [1, 3], 0),
    ],
)
def test_vsts_stand_behind_every_ratio_th_token(
    n: int, ratio: int, leftover: int, is_closed: bool, vst: list[int], left: int
) -> None:
    plan = interleave(n, ratio, leftover=leftover, is_closed=is_closed)
    assert plan.vst.tolist() == vst
    assert plan.leftover == left
    assert sorted(plan.raw.tolist() + vst) == list(range(n + len(vst)))


def test_a_chunk_shorter_than_the_ratio_leaves_nothing_unless_closed() -> None:
    net, _ = _net(2)
    with torch.inference_mode():
        rows = torch.randn(3, net.decoder.config.width)
        assert compress_chunk(rows, _fresh(net), interleave(3, 8)).n_latents == 0
        assert compress_chunk(rows, _fresh(net), interleave(3, 8, is_closed=True)).n_latents == 1


def test_a_score_is_the_attention_on_the_chunk_alone_behind_the_sink() -> None:
    net, slow = _net(3)
    torch.manual_seed(0)
    chunks = [torch.randn(24, net.decoder.config.width) for _ in range(3)]
    mass = [_slow_mass(slow, chunk) for chunk in chunks]
    assert 0.05 < min(mass) < max(mass) < 0.95
    assert max(mass) - min(mass) > 0.01
    # All are full, so odds are left as they are.
    ours = _scores(net, chunks, full_latents=6)
    torch.testing.assert_close(ours, torch.tensor(mass), atol=1e-4, rtol=1e-4)


def test_chunks_of_other_sizes_are_scored_by_the_odds_of_a_full_one() -> None:
    net, slow = _net(3)
    torch.manual_seed(1)
    sizes = {24: 6, 10: 3, 3: 1}
    chunks = [torch.randn(n, net.decoder.config.width) for n in (10, 24, 3, 24, 10)]
    expected = []
    for chunk in chunks:
        mass = _slow_mass(slow, chunk)
        odds = mass / (1 - mass) * 6 / sizes[len(chunk)]
        expected.append(odds / (1 + odds))
    ours = _scores(net, chunks, full_latents=6)
    torch.testing.assert_close(ours, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_chunk_without_latents_scores_nothing() -> None:
    net, _ = _net(3)
    empty, full = torch.zeros(0, net.decoder.config.width), torch.ones(24, net.decoder.config.width)
    scores = _scores(net, [empty, full], full_latents=6)
    assert scores[0] == 0
    assert scores[1] > 0


def test_ratio_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        interleave(8, 0)


QUESTION = [7, 8, 9, 10]


def _scores(net: VideoXlNet, chunks: Sequence[torch.Tensor], *, full_latents: int) -> torch.Tensor:
    """Score chunks of visual tokens, compressed at ratio 4, each alone."""
    with torch.inference_mode():
        embed = net.decoder.embed
        sink = prefill_prefix(net.decoder, embed(torch.tensor(PREFIX)))
        latents = [
            compress_chunk(
                chunk, open_cache(net.decoder, sink), interleave(len(chunk), 4, is_closed=True)
            )
            for chunk in chunks
        ]
        question = embed(torch.tensor(QUESTION))
        return score_chunks(net.decoder, sink, latents, question, full_latents=full_latents)


def _slow_mass(slow: ReferenceVideoXl, chunk: torch.Tensor) -> float:
    """Attention of the question on a chunk's summary tokens: mean over layers, heads and rows."""
    slow.forget()
    slow.read_text(PREFIX)
    slow.read_chunk(chunk, 4, is_closed=True)
    assert slow.keys[0] is not None
    n_cached = slow.keys[0].shape[1]
    slow.read_text(QUESTION)
    weights = torch.stack(slow.weights)
    return float(weights[..., len(PREFIX) : n_cached].sum(-1).mean())


def _as_file(latents: KvLatents) -> KvLatents:
    """Latents as they come back from storage: the same numbers in other memory."""
    return KvLatents(keys=latents.keys.clone(), values=latents.values.clone())
