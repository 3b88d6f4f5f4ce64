"""An engine over the colour model in a temporary folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.cache.budget import CacheConfig
from engine.media.sample import SamplingConfig
from engine.pipeline.config import EngineConfig, ModelConfig, RetrievalConfig
from engine.pipeline.engine import Engine, assemble
from engine.protocols import VideoModel
from engine.records import VideoId
from tests.support.fakes import ColourModel

CAMERA = VideoId("camera")


def chunk_path(engine: Engine, video: VideoId, ordinal: int) -> Path:
    """Where a chunk's file lies: the layout that `engine/cache/disk.py` documents."""
    folder = engine.config.latents_folder / engine.fingerprint / video
    return folder / f"{ordinal:08d}.safetensors"


def chunk_files(engine: Engine) -> dict[str, bytes]:
    """The files of the camera's chunks by their names."""
    folder = chunk_path(engine, CAMERA, 0).parent
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Engine]:
    """Assembles an engine; two calls with one home share its files, as two processes would."""

    def assembled(
        model: VideoModel | None = None,
        *,
        home: str = "home",
        cache: CacheConfig | None = None,
        retrieval: RetrievalConfig | None = None,
        max_past_latents: int | None = 8,
    ) -> Engine:
        folder = tmp_path / home
        config = EngineConfig(
            model=ModelConfig(folder=folder, device="cpu", max_past_latents=max_past_latents),
            latents_folder=folder / "latents",
            index_folder=folder / "index",
            sampling=SamplingConfig(thin_static=False),
            cache=cache or CacheConfig(),
            retrieval=retrieval or RetrievalConfig(top_chunks=1),
        )
        return assemble(config, model=model or ColourModel())

    return assembled
