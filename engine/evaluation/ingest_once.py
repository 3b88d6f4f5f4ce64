"""A video file read once, with its middle frame beside it, however often it is asked about."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.middle_frame import MiddleFrameKept, middle_of
from engine.pipeline.encode import SoundSource
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import FrameSource, ingest
from engine.records import VideoId


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedVideo:
    """The frames of a video as the engine's sampling says, and its sound for a model that hears."""

    frames: FrameSource
    sound: SoundSource | None = None


OpenVideo = Callable[[Path], AbstractContextManager[OpenedVideo]]
"""Opens a video; foreign media belongs into a sandbox."""


def ingest_once(engine: Engine, path: Path, open_video: OpenVideo) -> VideoId:
    """Ingest a video and its middle frame unless they were before; return its name in the cache.

    Raises:
        InputRefusedError: It cannot be read.
    """
    stamp = f"{path.resolve()} {path.stat().st_size}"
    name = f"{path.stem[:40]}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    video = VideoId("".join(c if c.isalnum() or c in "._-" else "_" for c in name))
    finished = engine.config.index_folder / f"{engine.fingerprint}.{video}.read"
    if not finished.exists():
        with open_video(path) as opened:
            kept = MiddleFrameKept(opened.frames)
            for _ in ingest(engine, video, kept, sound=opened.sound):
                pass
        for _ in ingest(engine, middle_of(video), kept.middle()):
            pass
        engine.save_index()
        finished.touch()
    return video
