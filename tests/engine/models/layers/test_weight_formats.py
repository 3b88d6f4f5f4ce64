"""Decoders in fewer bits: how small, how far off, and every family with them."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.errors import MissingCapabilityError
from engine.models.layers.decoder import Decoder
from engine.models.registry import families, load_family, load_model
from engine.models.tiny import DECODER, randomise
from engine.protocols import Sampling
from engine.records import ChunkRef, TimeSpan, VideoId, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch
from tests.support.turned_matrices import turn_matrices

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("weights", "bytes_held", "drift"), [("int8", 1.0, 0.02), ("nf4", 0.516, 0.2)]
)
def test_a_decoder_is_as_small_as_planned_and_says_nearly_the_same(
    weights: WeightFormat, bytes_held: float, drift: float
) -> None:
    # Rows of whole blocks, as every release has them.
    decoder = Decoder(replace(DECODER, width=128, mlp_width=256)).eval().requires_grad_(False)
    randomise(decoder, seed=1)
    x = torch.randn(1, 12, 128)
    n_weights = sum(weight.numel() for weight in decoder.layers.parameters() if weight.dim() == 2)
    others = sum(weight.nbytes for weight in decoder.layers.parameters() if weight.dim() != 2)
    before = decoder.extend(x, decoder.buffer(12))
    turn_matrices(decoder, weights)
    after = decoder.extend(x, decoder.buffer(12))
    n_bytes = sum(weight.nbytes for weight in decoder.layers.parameters()) - others
    # Scales of rows, or of blocks, weigh more in matrices of a few thousand weights.
    assert bytes_held <= n_bytes / n_weights < 1.1 * bytes_held
    # Rows behind the final norm have a size of 1.
    assert float((after - before).abs().mean()) < drift


@pytest.mark.parametrize("weights", ["int8", "nf4"])
@pytest.mark.parametrize("family", families())
def test_every_family_answers_in_fewer_bits(
    family: str, weights: WeightFormat, tmp_path: Path
) -> None:
    load_family(family).write_tiny(tmp_path / "tiny")
    native = load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32)
    small = load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32, weights=weights)
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


def test_without_the_package_of_nf4_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingCapabilityError, match="bitsandbytes") as caught:
        turn_matrices(Decoder(DECODER), "nf4")
    assert caught.value.hint == "pip install 'longwatch[nf4]'"
