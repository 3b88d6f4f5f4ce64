"""Vectors and observers over footage with speech: seconds of footage for a second of a core.

The footage is drawn, at 25 frames a second with something that moves all the time, and somebody
speaks for half of it; the voice is one that Gradio's package brings. Processor time, decoders in
child processes included, because wall time on a busy machine says little.
"""

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from app.config.settings import Settings, load_settings
from app.progress import Unattended
from app.services.benchmarks._footage import patrol
from app.services.benchmarks.decode import cpu_s
from app.services.context import ServiceContext
from app.services.footage import LibraryFootage
from app.services.ingest import add_source, read_video
from app.services.observe import observer_config
from app.services.vectors import encode_video
from engine.media.audio import AudioReader
from engine.media.encode import SOUND_RATE_HZ, Sound, write_video
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from engine.sight.observer import open_observer
from storage.records import VideoRow

STAGES: Final = ("objects", "motion", "speech", "text")
CORES: Final = 2
"""Cores of the machine that the promise of three times real time is about."""
_FPS: Final = 25


def measure(*, model: str | None = None, minutes: float = 2) -> dict[str, Any]:
    """Draw footage, ingest it, and let every observer look at it.

    Args:
        model: That reads; the settings' when `None`.
        minutes: Length of the footage.
    """
    with tempfile.TemporaryDirectory() as folder:
        footage = _draw(Path(folder) / "footage.mp4", round(minutes * 60))
        settings = load_settings({"model": model}, home=Path(folder) / "home")
        context = ServiceContext(settings)
        try:
            return _measure(context, settings, footage)
        finally:
            context.close()


def _measure(context: ServiceContext, settings: Settings, footage: Path) -> dict[str, Any]:
    video = read_video(context, add_source(context, str(footage)), Unattended())
    stages = {"vectors": _measure_vectors(context, video)}
    for name in STAGES:
        observer = open_observer(name, observer_config(settings))
        used, started = cpu_s(), time.perf_counter()
        with LibraryFootage(context, video) as watched:
            n_rows = sum(len(step.rows) for step in observer.observe(watched))
            length_s = watched.end_s
        # Decoders count when they have ended.
        stage_s = cpu_s() - used
        stages[name] = {
            "cpu_s": round(stage_s, 2),
            "wall_s": round(time.perf_counter() - started, 2),
            "realtime_per_core": round(length_s / stage_s, 2),
            "rows": n_rows,
        }
    observed_s = [stages[name]["cpu_s"] for name in STAGES if name != "text"]
    # All that follows an ingest but print: the vectors of every encoder, and the observers.
    followed_s = stages["vectors"]["cpu_s"] + sum(observed_s)
    return {
        "media_s": length_s,
        "stages": stages,
        "realtime_two_cores_without_text": round(CORES * length_s / sum(observed_s), 2),
        "realtime_two_cores_with_vectors": round(CORES * length_s / followed_s, 2),
    }


def _measure_vectors(context: ServiceContext, video: VideoRow) -> dict[str, float]:
    """Have every encoder of the settings look at the stills of a video."""
    # Opened before: what loads once is none of an hour's cost.
    for encoder_index in context.encoders:
        encoder_index.encoder.encode_images([np.zeros((64, 64, 3), np.uint8)])
    used, started = cpu_s(), time.perf_counter()
    encode_video(context, video, Unattended())
    stage_s = cpu_s() - used
    return {
        "cpu_s": round(stage_s, 2),
        "wall_s": round(time.perf_counter() - started, 2),
        "realtime_per_core": round(video.ingested_s / stage_s, 2),
        "stills": sum(encoder_index.index.n_vectors for encoder_index in context.encoders),
    }


def _draw(path: Path, length_s: int) -> Path:
    # The package is not imported: use cases know no web.
    gradio = importlib.util.find_spec("gradio")
    assert gradio is not None
    assert gradio.origin is not None, "Gradio is a package of files"
    voice_file = Path(gradio.origin).parent / "media_assets" / "audio" / "cate_blanch.mp3"
    with AudioReader(
        str(voice_file), limits=MediaLimits(), rate_hz=SOUND_RATE_HZ, layout="stereo"
    ) as reader:
        voice = reader.window(TimeSpan(start_s=0.0, end_s=10.0))
    assert voice is not None
    # Ten seconds of speech, ten of silence, and so on.
    turn = np.concatenate([voice, np.zeros_like(voice)], axis=1)

    def read(span: TimeSpan) -> Float32[np.ndarray, "channel sample"] | None:
        if span.start_s >= length_s:
            return None
        first, last = (round(time_s * SOUND_RATE_HZ) for time_s in (span.start_s, span.end_s))
        return turn[:, np.arange(first, last) % turn.shape[1]]

    sound = Sound(read=read, end_s=float(length_s))
    write_video(path, patrol(length_s * _FPS, (360, 640)), float(_FPS), sound=sound)
    return path
