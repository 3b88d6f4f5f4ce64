"""Recordings of known events in a library that nobody keeps: what measurements ask."""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.media.frames import Frame
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.pipeline.retrieve import Scope
from engine.records import MediaInfo, SampleStats, TimeSpan, VideoId
from engine.synthetic.recordings import Recording

VIDEO = VideoId("throw-away")
WHOLE_VIDEO: Scope = ((VIDEO, TimeSpan(start_s=0.0, end_s=float("inf"))),)
"""Where a recording lies while it is there."""


def ingested_one_by_one(
    engine: Engine, given: Iterable[Recording]
) -> Iterator[tuple[Recording, Engine]]:
    """Each recording, alone in an engine of its own library until the next one is asked for.

    Args:
        engine: Whose model and settings to use; its library stays untouched.
        given: Read and drawn one by one.
    """
    with tempfile.TemporaryDirectory(prefix="longwatch-measure-") as folder:
        config = replace(
            engine.config,
            latents_folder=Path(folder),
            index_folder=Path(folder),
            retrieval=engine.retrieval,
            durable=False,
        )
        aside = assemble(config, model=engine.model)
        for recording in given:
            for _ in ingest(aside, VIDEO, _Frames(recording)):
                pass
            yield recording, aside
            aside.forget(VIDEO)


@dataclass
class _Frames:
    """A recording with the face of a reader."""

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
        for place, pixels in enumerate(self.recording):
            yield Frame(pixels=pixels, pts_s=place / self.recording.fps)
