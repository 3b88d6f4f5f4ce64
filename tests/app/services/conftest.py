"""A tiny checkpoint, a clip of noise, and a library over both."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.config.settings import load_settings
from app.services.context import ServiceContext
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl

DURATION_S = 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    video_xl.write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "front door.mp4"
    rng = np.random.default_rng(3)
    write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(96)), 4.0)
    return path


def open_library(home: Path, checkpoint: Path, **flags: object) -> ServiceContext:
    dotted = {name.replace("__", "."): value for name, value in flags.items()}
    return ServiceContext(load_settings({"model": str(checkpoint), **dotted}, home=home))


@pytest.fixture
def context(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path / "home", checkpoint)
    yield opened
    opened.close()
