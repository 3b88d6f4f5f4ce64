"""What each family's 7B size would ask of a card: devices, dtypes, shapes, counts, peak bytes.

The code runs on tensors without memory that say `cuda:0`. A mixture of host and device, a wrong
dtype or a shape that does not fit fails; counts and bytes are held to budgets. What a kernel does,
and how long it takes, only a card can tell: `longwatch bench gpu`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from engine.protocols import Sampling
from tests.support.dry_run import counted, encoded, recalled_chunks
from tests.support.fake_cuda import CUDA, fake_cuda
from tests.support.released_sizes import FAMILIES, Model, build_model

MAX_PAST_LATENTS = 1440
MAX_DECODE_OPERATIONS = 400
MAX_COMPRESS_OPERATIONS = 700
"""Of Video-XL, which runs its decoder to compress; the others resample or pool."""
MAX_RECALL = 1.5
"""Most that an answer's start may hold beside the recalled latents, in their bytes."""


@dataclass(frozen=True)
class _Sizes:
    """Released sizes, and budgets of a family."""

    weights_gb: float
    n_encode: int
    """Operations of a chunk's frames."""
    recalled: int
    """Chunks of the question."""
    answer_gb: float
    """Most that an answer over them holds."""
    n_decode: int = MAX_DECODE_OPERATIONS
    n_compress: int = 80


SIZES = {
    # Three hours and a half of chunks: 32,400 latents, as many as its positions hold.
    "video_xl": _Sizes(16.8, 370, 180, 2.8, n_compress=MAX_COMPRESS_OPERATIONS),
    "apollo": _Sizes(18.4, 980, 8, 0.3),
    # 32 layers, without grouped heads, are more operations and more bytes.
    "pllava": _Sizes(14.1, 370, 1, 1.7, n_decode=450),
    "videollama2": _Sizes(16.8, 420, 2, 0.3),
}


@pytest.fixture(params=sorted(FAMILIES), scope="module")
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(family: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    folder: Path = tmp_path_factory.mktemp(family)
    with fake_cuda():
        yield build_model(family, CUDA, torch.bfloat16, folder)


def test_weights_are_as_large_as_released_and_in_16_bit(family: str, model: Model) -> None:
    parameters = list(model.net.parameters())
    assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
    assert {parameter.device.type for parameter in parameters} == {"cuda"}
    n_gb = sum(parameter.nbytes for parameter in parameters) / 1e9
    assert n_gb == pytest.approx(SIZES[family].weights_gb, abs=0.1)


def test_frames_to_latents_within_budget(family: str, model: Model) -> None:
    sizes = SIZES[family]
    tokens, encoding = encoded(model)
    assert tokens.embeddings.device.type == "cuda"
    assert tokens.embeddings.dtype == torch.bfloat16
    assert tokens.frame_vectors.device.type == "cpu"
    assert encoding.n_operations <= sizes.n_encode
    # Frames go up as bytes, once for each tower that reads them; vectors come down.
    assert sum(encoding.uploads) <= 2.1 * 3 * 448**2 * model.card.chunk_frames
    assert encoding.n_round_trips <= 1
    stream = model.open_stream(max_past_latents=MAX_PAST_LATENTS)
    # The first chunk behind a past of some length also lays out positions and masks.
    _, first = counted(lambda: model.compress(tokens, stream))
    assert first.n_operations <= sizes.n_compress + 40
    latents, compressing = counted(lambda: model.compress(tokens, stream))
    stream.remember(latents)
    assert latents.n_latents == model.card.latents_per_chunk
    assert compressing.n_operations <= sizes.n_compress
    assert compressing.n_round_trips == 0
    assert compressing.peak_bytes < 0.5e9


def test_answers_within_budget(family: str, model: Model) -> None:
    sizes = SIZES[family]
    tokens, _ = encoded(model)
    latents = model.compress(tokens, model.open_stream())
    recalled = recalled_chunks(model, latents, sizes.recalled)
    steps = model.generate("What is there?", recalled, Sampling(max_tokens=8))
    token, start = counted(lambda: next(steps))
    assert token.chunk_mass is not None
    assert token.chunk_mass.shape == (sizes.recalled,)
    assert start.peak_bytes <= sizes.answer_gb * 1e9
    if family == "video_xl":
        n_bytes = sum(chunk.latents.nbytes for chunk in recalled)
        assert n_bytes == pytest.approx(1.86e9, rel=0.01)
        assert start.peak_bytes <= MAX_RECALL * n_bytes
    for _ in range(3):
        _, step = counted(lambda: next(steps))
        assert step.n_operations <= sizes.n_decode
        assert step.n_round_trips <= 1
        # Nothing is allocated for good in mid-answer.
        assert step.peak_bytes < 0.3e9
