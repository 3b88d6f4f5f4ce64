"""Decoders whose matrices are integers: how far off, how small, and every family with them."""

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.int8 import MOST, Int8Linear, store_int8
from engine.models.registry import families, load_family, load_model
from engine.models.tiny import DECODER, randomise
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch

CPU = torch.device("cpu")


def test_no_weight_errs_by_more_than_half_a_step() -> None:
    linear = nn.Linear(40, 24)
    with torch.no_grad():
        linear.weight[3] = 0.0
        linear.weight[5] *= 1000
    stored = Int8Linear(linear)
    restored = stored.weight.float() * stored.step[:, None]
    half = linear.weight.abs().amax(1, keepdim=True) / MOST / 2
    assert bool(((restored - linear.weight).abs() <= half * 1.001).all())
    x = torch.randn(3, 40)
    torch.testing.assert_close(stored(x), x @ restored.T + linear.bias, atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_parts_of_a_fused_product_are_those_of_the_whole(bias: bool) -> None:
    fused = FusedLinear(16, {"q": 8, "k": 4, "v": 4}, bias=bias)
    stored, x = Int8Linear(fused), torch.randn(5, 16)
    torch.testing.assert_close(stored.project_kv(x), stored(x)[:, 8:])


def test_a_decoder_keeps_a_quarter_and_says_nearly_the_same() -> None:
    decoder = Decoder(DECODER).eval().requires_grad_(False)
    randomise(decoder, seed=1)
    x = torch.randn(1, 12, DECODER.width)
    matrices = [weight for weight in decoder.layers.parameters() if weight.dim() == 2]
    n_bytes = sum(weight.nbytes for weight in matrices)
    before = decoder.extend(x, decoder.buffer(12))
    store_int8(decoder)
    after = decoder.extend(x, decoder.buffer(12))
    codes = [weight for weight in decoder.layers.parameters() if weight.dim() == 2]
    assert {weight.dtype for weight in codes} == {torch.int8}
    assert sum(weight.nbytes for weight in codes) * 4 == n_bytes
    # Rows behind the final norm have a size of 1.
    assert float((after - before).abs().mean()) < 0.02


@pytest.mark.parametrize("family", families())
def test_every_family_answers_with_integers(family: str, tmp_path: Path) -> None:
    load_family(family).write_tiny(tmp_path / "tiny")
    native = load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32)
    small = load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32, weights="int8")
    assert small.card.fingerprint != native.card.fingerprint
    n = small.card.chunk_frames
    pixels = torch.randint(0, 256, (n, 3, 48, 64), dtype=torch.uint8)
    tokens = small.encode(FrameBatch(pixels=pixels, pts_s=torch.arange(n).double()))
    chunk = ChunkLatents(
        ref=ChunkRef(video=VideoId("v"), ordinal=0, span=TimeSpan(start_s=0.0, end_s=float(n))),
        latents=small.compress(tokens, small.open_stream()),
        frame_vectors=tokens.frame_vectors,
        pts_s=tokens.pts_s,
    )
    assert list(small.generate("What is seen?", [chunk], Sampling(max_tokens=3)))
