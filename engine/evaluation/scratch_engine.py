"""An engine with a library of its own, thrown away afterwards: every measurement asks one."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.device import DEFAULT_CACHE_BYTES
from engine.media.frame import Frame
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.records import ALL_TIME, MediaInfo, SampleStats, Scope, VideoId
from engine.synthetic.recordings import Recording

VIDEO = VideoId("throw-away")
WHOLE_VIDEO: Scope = ((VIDEO, ALL_TIME),)
"""The scope of a recording while it is ingested."""


def scratch_engine(engine: Engine, folder: Path, *, compression_ratio: int | None = None) -> Engine:
    """Return an engine of the same model and settings over an empty library.

    Args:
        engine: Its own library stays untouched.
        folder: Takes latents and index; nothing in it waits for the disk.
        compression_ratio: `None` takes the engine's.
    """
    model = engine.config.model
    if compression_ratio is not None:
        model = replace(model, compression_ratio=compression_ratio)
    config = replace(
        engine.config,
        model=model,
        # What the card has free belongs to the library's own cache, which may grow into it.
        cache=replace(
            engine.config.cache,
            device_bytes=engine.config.cache.device_bytes or DEFAULT_CACHE_BYTES,
        ),
        latents_folder=folder,
        index_folder=folder,
        retrieval=engine.retrieval,
        durable=False,
    )
    return assemble(config, model=engine.model)


def ingested_one_by_one(
    engine: Engine, recordings: Iterable[Recording]
) -> Iterator[tuple[Recording, Engine]]:
    """Yield each recording with an engine that holds it alone, until the next is asked for.

    Args:
        engine: Whose model and settings to use; its library stays untouched.
        recordings: Read and drawn one by one.
    """
    with tempfile.TemporaryDirectory(prefix="longwatch-measure-") as folder:
        scratch = scratch_engine(engine, Path(folder))
        for recording in recordings:
            for _ in ingest(scratch, VIDEO, _RecordingFrames(recording)):
                pass
            yield recording, scratch
            scratch.forget(VIDEO, saves_index=False)


@dataclass
class _RecordingFrames:
    """A recording as a source of frames."""

    recording: Recording
    info: MediaInfo = field(init=False)
    stats: SampleStats = field(default_factory=SampleStats)

    def __post_init__(self) -> None:
        self.info = MediaInfo(
            uri="drawn",
            container="none",
            video_codec=None,
            fps=self.recording.fps,
            height_px=0,
            width_px=0,
            duration_s=self.recording.n_frames / self.recording.fps,
        )

    def __iter__(self) -> Iterator[Frame]:
        for idx, pixels in enumerate(self.recording):
            yield Frame(pixels=pixels, pts_s=idx / self.recording.fps)
