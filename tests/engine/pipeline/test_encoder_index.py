"""An encoder's vectors and index over stills: catch-up, damage, other readings, and search."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from engine.cache.stills import StillStore, encode_still
from engine.pipeline.encoder_index import EncoderIndex, open_encoder_index
from engine.pipeline.still_search import search_stills
from engine.records import EncoderCard, Fingerprint, TimeSpan, VideoId

VIDEO, READING = VideoId("a"), Fingerprint("first")
COLOURS = ("red", "green", "blue")


class ColourEncoder:
    """An encoder that tells three colours apart: a frame's mean is its vector."""

    card = EncoderCard(
        name="colours", fingerprint=Fingerprint("c0"), dim=3, knows="three colours", licence="none"
    )

    def encode_images(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Float32[Tensor, "image dim"]:
        return torch.from_numpy(np.stack([image.mean((0, 1)) / 255 for image in images])).float()

    def queries(self, text: str) -> Float32[Tensor, "query dim"]:
        return torch.eye(3)[[COLOURS.index(text)]]

    def relevance(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        return 10 * (scores[0] - 0.5)

    def log_odds(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        return 10 * (scores[0] - 0.5)


def put(stills: StillStore, ordinal: int, colours: str, reading: str = READING) -> None:
    """A chunk of one still a second: `r`, `g` or `b`."""
    pictures = []
    for step, letter in enumerate(colours):
        pixels = np.zeros((16, 16, 3), np.uint8)
        pixels[..., "rgb".index(letter)] = 255
        still = encode_still(pixels, 10.0 * ordinal + step, stills.config)
        assert still is not None
        pictures.append(still)
    end_s = 10.0 * ordinal + len(colours)
    stills.put(VIDEO, ordinal, pictures, end_s=end_s, reading=Fingerprint(reading))


def opened(folder: Path) -> EncoderIndex:
    return open_encoder_index(
        ColourEncoder(),
        vectors_folder=folder / "vectors",
        index_folder=folder / "index",
        backend="exact",
    )


@pytest.fixture
def stills(tmp_path: Path) -> StillStore:
    store = StillStore(tmp_path / "stills")
    put(store, 0, "rrrgggrrrr")
    put(store, 1, "rrrrrrrrbr")
    return store


def encode_all(encoder_index: EncoderIndex, stills: StillStore) -> None:
    for ordinal in encoder_index.missing(stills, VIDEO):
        encoder_index.encode(stills, VIDEO, ordinal)
    encoder_index.refresh()


def test_what_lasts_is_claimed_with_its_span_and_what_flickers_is_only_near(
    stills: StillStore, tmp_path: Path
) -> None:
    encoder_index = opened(tmp_path)
    encode_all(encoder_index, stills)
    (green, *_) = search_stills(encoder_index, "green", scope=None, top=5)
    assert green.span == TimeSpan(start_s=3.0, end_s=6.0)
    assert green.is_claimed
    (blue, *_) = search_stills(encoder_index, "blue", scope=None, top=5)
    assert blue.peak_s == 18.0
    assert not blue.is_claimed


def test_moments_lie_inside_the_scope_and_apart(stills: StillStore, tmp_path: Path) -> None:
    encoder_index = opened(tmp_path)
    encode_all(encoder_index, stills)
    scope = [(VIDEO, TimeSpan(start_s=8.0, end_s=20.0))]
    moments = search_stills(encoder_index, "red", scope=scope, top=5)
    assert all(8.0 <= moment.peak_s < 20.0 for moment in moments)
    assert search_stills(encoder_index, "red", scope=[], top=5) == ()


def test_another_process_sees_new_vectors_and_encodes_nothing_twice(
    stills: StillStore, tmp_path: Path
) -> None:
    first = opened(tmp_path)
    encode_all(first, stills)
    first.save()
    second = opened(tmp_path)
    assert second.index.n_vectors == 20
    assert second.missing(stills, VIDEO) == ()
    put(stills, 2, "bbb")
    assert second.missing(stills, VIDEO) == (2,)
    second.encode(stills, VIDEO, 2)
    (blue, *_) = search_stills(first, "blue", scope=None, top=5)
    assert blue.peak_s >= 20.0


def test_a_damaged_file_is_made_again(stills: StillStore, tmp_path: Path) -> None:
    encoder_index = opened(tmp_path)
    encode_all(encoder_index, stills)
    path = encoder_index.vectors.path(VIDEO, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    encoder_index.rebuild(VIDEO)
    assert encoder_index.index.n_vectors == 10
    assert encoder_index.missing(stills, VIDEO) == (1,)
    encode_all(encoder_index, stills)
    assert path.read_bytes() == whole
    assert encoder_index.index.n_vectors == 20


def test_stills_that_were_sampled_anew_make_the_vectors_stale(
    stills: StillStore, tmp_path: Path
) -> None:
    encoder_index = opened(tmp_path)
    encode_all(encoder_index, stills)
    assert not encoder_index.is_stale(stills, VIDEO)
    stills.forget(VIDEO)
    put(stills, 0, "bbb", reading="second")
    encoder_index.drop_stale(stills, VIDEO)
    assert encoder_index.vectors.ordinals(VIDEO) == (0,)
    assert encoder_index.is_stale(stills, VIDEO)


def test_a_forgotten_video_is_never_found_again(stills: StillStore, tmp_path: Path) -> None:
    encoder_index = opened(tmp_path)
    encode_all(encoder_index, stills)
    encoder_index.forget(VIDEO)
    assert search_stills(encoder_index, "red", scope=None, top=5) == ()
    assert encoder_index.vectors.videos() == ()
