"""Folding against the slow, obvious way, on fresh random sizes."""

import random

import pytest
import torch

import engine.models.layers.attention
from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build, initialise
from engine.models.video_xl.vst import (
    VstCache,
    fold,
    interleave,
    open_memory,
    prefill_prefix,
    step_random,
)
from engine.tensors import KvLatents
from tests.support.reference_video_xl import SlowVideoXl

CPU = torch.device("cpu")
PREFIX = [3, 1, 4, 1, 5]


def _net(seed: int) -> tuple[VideoXlNet, SlowVideoXl]:
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
    return net, SlowVideoXl(weights, config.to_json())


def _fresh(net: VideoXlNet) -> VstCache:
    return open_memory(
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
    carry = slow_carry = 0
    is_closed = choose.random() < 0.5
    with torch.inference_mode():
        memory = _fresh(net)
        slow.read_text(PREFIX)
        for _ in range(choose.randint(1, 5)):
            ratio, n = choose.choice((1, 2, 4, 5, 8)), choose.randint(8, 40)
            visual = torch.randn(n, net.decoder.config.width)
            plan = interleave(n, ratio, carry=carry % ratio, is_closed=is_closed)
            slow_carry = slow.read_chunk(
                visual, ratio, carry=slow_carry % ratio, is_closed=is_closed
            )
            carry = plan.carry
            assert carry == slow_carry
            memory.append((fold(visual, memory, plan),))
        rows = net.decoder.embed(torch.tensor(question))[None]
        hidden = net.decoder.extend(rows, memory.fork(len(question)))
        ours, expected = net.decoder.logits(hidden[0]), slow.read_text(question)
    torch.testing.assert_close(ours, expected, atol=2e-4, rtol=2e-4)


def test_recalled_chunks_equal_never_evicted_ones_byte_for_byte() -> None:
    net, _ = _net(3)
    with torch.inference_mode():
        never = _fresh(net)
        stored = []
        for _ in range(6):
            latents = fold(torch.randn(24, net.decoder.config.width), never, interleave(24, 4))
            never.append((latents,))
            stored.append(_as_file(latents))
        sink = prefill_prefix(net.decoder, net.decoder.embed(torch.tensor(PREFIX)))
        recalled = open_memory(net.decoder, sink, stored)
    n = never.buffer.n
    assert recalled.buffer.n == n
    assert torch.equal(recalled.buffer.keys[..., :n, :], never.buffer.keys[..., :n, :])
    assert torch.equal(recalled.buffer.values[..., :n, :], never.buffer.values[..., :n, :])


@pytest.mark.parametrize("limit", [0, 6, 7, 13, 100])
def test_a_resumed_memory_equals_one_that_ran_on_byte_for_byte(limit: int) -> None:
    net, _ = _net(5)
    torch.manual_seed(0)
    sizes = (24, 24, 10, 24, 24, 24)
    with torch.inference_mode():
        sink = prefill_prefix(net.decoder, net.decoder.embed(torch.tensor(PREFIX)))
        running = open_memory(net.decoder, sink, max_latents=limit)
        stored: list[KvLatents] = []
        for n in sizes:
            plan = interleave(n, 4, is_closed=True)
            visual = torch.randn(n, net.decoder.config.width)
            resumed = open_memory(net.decoder, sink, stored, max_latents=limit)
            stored.append(fold(visual, running, plan))
            again = fold(visual, resumed, plan)
            assert torch.equal(again.keys, stored[-1].keys)
            assert torch.equal(again.values, stored[-1].values)
            running.append((stored[-1],))
            assert running.n_latents <= limit


def test_folding_leaves_the_memory_as_it_was() -> None:
    net, _ = _net(4)
    with torch.inference_mode():
        memory = _fresh(net)
        memory.append((fold(torch.randn(32, net.decoder.config.width), memory, interleave(32, 4)),))
        before, n = memory.buffer.keys[..., : memory.buffer.n, :].clone(), memory.buffer.n
        fold(torch.randn(32, net.decoder.config.width), memory, interleave(32, 4))
    assert memory.buffer.n == n
    assert torch.equal(memory.buffer.keys[..., :n, :], before)


@pytest.mark.parametrize(
    ("n", "ratio", "carry", "is_closed", "vst", "left"),
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
    n: int, ratio: int, carry: int, is_closed: bool, vst: list[int], left: int
) -> None:
    plan = interleave(n, ratio, carry=carry, is_closed=is_closed)
    assert plan.vst.tolist() == vst
    assert plan.carry == left
    assert sorted(plan.raw.tolist() + vst) == list(range(n + len(vst)))


def test_a_chunk_shorter_than_the_ratio_leaves_nothing_unless_closed() -> None:
    net, _ = _net(2)
    with torch.inference_mode():
        rows = torch.randn(3, net.decoder.config.width)
        assert fold(rows, _fresh(net), interleave(3, 8)).n_latents == 0
        assert fold(rows, _fresh(net), interleave(3, 8, is_closed=True)).n_latents == 1


def test_step_random_draws_what_upstream_draws() -> None:
    # Spec 7.3: NumPy's default generator with seed 42, among the ratios that divide the window.
    assert step_random((2, 4, 8), [48] * 8, seed=42) == (2, 8, 4, 4, 4, 8, 2, 8)


def test_step_random_names_a_chunk_that_no_ratio_divides() -> None:
    with pytest.raises(ValueError, match="no ratio of"):
        step_random((4, 8), [48, 6], seed=42)


def test_ratio_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        interleave(8, 0)


def _as_file(latents: KvLatents) -> KvLatents:
    """What comes back from storage: the same numbers in other memory."""
    return KvLatents(keys=latents.keys.clone(), values=latents.values.clone())
