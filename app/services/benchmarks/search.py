"""Searches and tiles over an hour of footage that lies in a library.

A drawn minute is repeated for an hour and read as any file is. Eyes look at its first minute, whose
vectors stand for all others; things and sentences are drawn, 10 and 15 a minute. Figures:
milliseconds of a search for a phrase that is new, and again, and of its parts; milliseconds of a
tile, as search pages ask for them. Wall time and the processor time of this process, because wall
time on a busy machine says little.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.config.settings import load_settings
from app.progress import Unattended
from app.services.benchmarks._footage import draw_minute
from app.services.context import ServiceContext
from app.services.ingest import add_source, read_video
from app.services.pictures import kept_still
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.search_rows import find_rows
from engine.cache.vectors import StillVectors
from engine.media.baseline import repeat_video
from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.row_search import read_query
from engine.pipeline.still_search import search_stills
from engine.records import (
    Box,
    ChunkRef,
    Observation,
    ObservationKind,
    Observed,
    TimeSpan,
    VideoId,
)
from engine.sight import sentences
from engine.sight.detector import Detector
from storage.records import VideoRow

PHRASES: Final = (
    "a red car",
    "a dog on the grass",
    "two people at a table",
    "a person with a bicycle",
    "an empty room",
    "someone opens a door",
    "police at the station",
    "a white van in the street",
)
TILE_PX: Final = 320
_CANDIDATES: Final = 40
"""Moments that an encoder proposes for a search of ten."""
_LOOKED_AT_S: Final = 60.0
_LABELS: Final = ("person", "car", "dog", "truck", "bicycle", "bus")
_ROWS: Final[tuple[tuple[ObservationKind, int, float], ...]] = (
    ("object", 10, 20.0),
    ("speech", 15, 3.5),
)
"""Kinds of rows, how many of each a minute has, and their length (s)."""
_TALK: Final = (
    "the a we they people car street dog room window light camera morning meeting table water "
    "coffee house garden music report number police train station open close walk talk"
)


def measure(*, model: str | None = None, minutes: int = 60, rounds: int = 5) -> dict[str, Any]:
    """Draw an hour, and search it.

    Args:
        model: That reads; the settings' when `None`.
        minutes: Length of the footage.
        rounds: How often each phrase is searched for once it is known.
    """
    with tempfile.TemporaryDirectory() as folder:
        minute = draw_minute(Path(folder) / "minute.mp4", fps=5, size_px=(184, 320))
        hour = repeat_video(minute, minutes, Path(folder) / "hour.mp4")
        context = ServiceContext(load_settings({"model": model}, home=Path(folder) / "home"))
        try:
            video = read_video(context, add_source(context, str(hour)), Unattended())
            for encoder_index in context.encoders:
                _spread_vectors(context, encoder_index, video.id)
            _draw_rows(context, video.id, minutes)
            return _measure(context, video, rounds)
        finally:
            context.close()


def _measure(context: ServiceContext, video: VideoRow, rounds: int) -> dict[str, Any]:
    scope = resolve_scope(context)
    # Loads what a first search loads.
    search(context, "anything at all", scope)
    new = _times(lambda phrase: search(context, phrase, scope), PHRASES)
    parts: dict[str, Callable[[str], object]] = {
        f"stills of {index.encoder.card.name}": partial(
            search_stills, index, scope=scope, top=_CANDIDATES
        )
        for index in context.encoders
    }
    parts["rows and captions"] = lambda phrase: find_rows(
        context, phrase, read_query(phrase), scope, ()
    )
    times_s = np.linspace(0.0, video.ingested_s - 1, 60).round(1).tolist()
    return {
        "media_s": video.ingested_s,
        "stills": sum(index.index.n_vectors for index in context.encoders),
        "rows": len(context.catalog.observations.list(scope)),
        "new phrase": _described(new),
        "again": _described(
            _times(lambda phrase: search(context, phrase, scope), PHRASES * rounds)
        ),
        "parts": {name: _described(_times(work, PHRASES)) for name, work in parts.items()},
        "tile": _described(
            _times(lambda time_s: kept_still(context, video, time_s, TILE_PX), times_s)
        ),
    }


def _times(work: Callable[[Any], object], items: Sequence[Any]) -> list[tuple[float, float]]:
    """Return wall and processor milliseconds of a work over each item."""
    times_ms = []
    for item in items:
        started, used = time.perf_counter(), time.process_time()
        work(item)
        wall_ms = (time.perf_counter() - started) * 1000
        times_ms.append((wall_ms, (time.process_time() - used) * 1000))
    return times_ms


def _described(times_ms: Sequence[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*times_ms, strict=True)
    return {
        "wall_ms_median": round(statistics.median(wall), 1),
        "cpu_ms_median": round(statistics.median(cpu), 1),
        "cpu_ms_worst": round(max(cpu), 1),
    }


def _spread_vectors(context: ServiceContext, encoder_index: EncoderIndex, video: VideoId) -> None:
    """Look at the first minute, and take its vectors for every other one."""
    stills, looked_at = context.stills, []
    for ordinal in stills.ordinals(video):
        header = stills.header(video, ordinal)
        if header.times_s[0] < _LOOKED_AT_S:
            encoder_index.encode(stills, video, ordinal)
            known = encoder_index.vectors.get(video, ordinal)
            assert known is not None, "it was encoded just now"
            looked_at.append(known)
            continue
        pattern = looked_at[ordinal % len(looked_at)]
        count = min(len(header.times_s), len(pattern.pts_s))
        span = TimeSpan(start_s=header.times_s[0], end_s=header.end_s)
        encoder_index.vectors.put(
            StillVectors(
                chunk=ChunkRef(video=video, ordinal=ordinal, span=span),
                reading=header.reading,
                vectors=pattern.vectors[:count],
                pts_s=pattern.pts_s[:count] - pattern.pts_s[0] + header.times_s[0],
            )
        )
    encoder_index.refresh([video])


def _draw_rows(context: ServiceContext, video: VideoId, minutes: int) -> None:
    generator = np.random.default_rng(0)
    observations = context.catalog.observations
    for kind, a_minute, length_s in _ROWS:
        rows = [
            _row(video, kind, number, 60.0 / a_minute * number, length_s, generator)
            for number in range(a_minute * minutes)
        ]
        observed = Observed(
            video=video,
            kind=kind,
            model="drawn",
            labels=frozenset(Detector.labels) if kind == "object" else frozenset(),
            span=TimeSpan(start_s=0.0, end_s=60.0 * minutes),
        )
        observations.replace(video, kind, rows, observed)
    unread = observations.without_vector(video, sentences.NAME)
    vectors = generator.standard_normal((len(unread), sentences.DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    observations.set_vectors(
        {
            text.id: vector.astype("<f2").tobytes()
            for text, vector in zip(unread, vectors, strict=True)
        },
        sentences.NAME,
    )


def _row(
    video: VideoId,
    kind: ObservationKind,
    number: int,
    start_s: float,
    length_s: float,
    generator: np.random.Generator,
) -> Observation:
    is_thing = kind == "object"
    sides = {"left": 0.1, "top": 0.1, "right": 0.4, "bottom": 0.6}
    return Observation(
        video=video,
        kind=kind,
        span=TimeSpan(start_s=start_s, end_s=start_s + length_s),
        label=str(generator.choice(_LABELS)) if is_thing else "",
        text="" if is_thing else " ".join(generator.choice(_TALK.split(), 9)),
        confidence=float(generator.uniform(0.5, 1.0)),
        model="drawn",
        peak_s=start_s + length_s / 2,
        track=number if is_thing else None,
        boxes=tuple(Box(time_s=start_s + step, **sides) for step in range(20 if is_thing else 0)),
        colours=("red",) if is_thing else (),
        n_seen=20,
        n_looked=20,
    )
