"""Search over real pictures: vectors behind the ingest, what is claimed, and removal."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import gradio
import numpy as np
import pytest

from app.config.settings import load_settings
from app.services.access import find_video
from app.services.context import ServiceContext
from app.services.library import remove_video
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.search import check_kinds, search
from app.services.vectors import has_vectors
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, SettingsError
from engine.media.encode import write_video

PICTURES = Path(gradio.__file__).parent / "media_assets" / "images"
SHOWN_S = 6
"""Seconds of each picture: a cheetah, then a lion."""


def picture(name: str) -> np.ndarray:
    pixels = np.asarray(cv2.imread(str(PICTURES / f"{name}.jpg")))[..., ::-1]
    return np.ascontiguousarray(cv2.resize(pixels, (320, 240), interpolation=cv2.INTER_AREA))


def open_library(home: Path, *encoders: str) -> ServiceContext:
    flags = {"sight.encoder": list(encoders), "sampling.thin_static": False}
    return ServiceContext(load_settings(flags, home=home))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of two pictures, read, with its vectors."""
    folder = tmp_path_factory.mktemp("real")
    shown = [picture(name) for name in ("cheetah", "lion") for _ in range(SHOWN_S)]
    # The frames are never quite the same, as those of a camera.
    frames = (np.clip(pixels.astype(int) + step % 3, 0, 255) for step, pixels in enumerate(shown))
    write_video(folder / "cats.mp4", (frame.astype(np.uint8) for frame in frames), 1.0)
    context = open_library(folder / "home", "concepts", "model")
    ingest_now(context, [str(folder / "cats.mp4")])
    context.close()
    return folder / "home"


@pytest.fixture
def context(home: Path) -> Iterator[ServiceContext]:
    opened = open_library(home, "concepts", "model")
    yield opened
    opened.close()


def test_the_moment_of_a_thing_is_found_and_an_absent_thing_is_not_claimed(
    context: ServiceContext,
) -> None:
    scope = resolve_scope(context)
    response = search(context, "a lion", scope)
    best = response.hits[0]
    assert (best.kind, best.source, best.confirmed) == ("vector", "concepts", True)
    assert SHOWN_S <= best.peak_s < 2 * SHOWN_S
    assert best.start_s >= SHOWN_S - 1
    assert [encoder.name for encoder in response.encoders] == ["model:nano", "concepts"]
    assert search(context, "a cheetah", scope).hits[0].peak_s < SHOWN_S
    absent = search(context, "a grand piano", scope).hits
    assert absent, "the nearest moments are shown all the same"
    assert not any(hit.confirmed for hit in absent)


def test_a_search_may_be_bound_to_kinds_of_moments(context: ServiceContext) -> None:
    scope = resolve_scope(context)
    assert search(context, "a lion", scope, kinds=check_kinds(["speech"])).hits == []
    with pytest.raises(InputRefusedError, match="smell"):
        check_kinds(["smell"])


def test_reindex_brings_back_an_index_that_was_lost(context: ServiceContext, home: Path) -> None:
    shutil.rmtree(home / "index")
    reindex(context)
    (encoder_index,) = context.encoders
    assert encoder_index.index.n_vectors == 2 * SHOWN_S
    assert list((home / "index").rglob("*.segment"))


def test_without_encoders_of_stills_nothing_waits_for_vectors(home: Path) -> None:
    context = open_library(home, "model")
    assert context.encoders == ()
    assert has_vectors(context, find_video(context, "cats").id)
    context.close()


def test_an_unknown_encoder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="clap"):
        open_library(tmp_path, "clap")


def test_a_removed_video_leaves_no_vectors(context: ServiceContext, home: Path) -> None:
    video = find_video(context, "cats")
    assert list(home.glob(f"vectors/*/{video.id}/*"))
    remove_video(context, video)
    assert not list(home.glob(f"vectors/*/{video.id}"))
