"""Libraries that are drawn and never read: rows, latents, vectors, stills and observations.

No model looks at anything. Vectors lie around a few hundred centres, as scenes do that look alike;
latents and stills are the same for every chunk, for no figure depends on what is in them.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import normalize

from app.config.engine_config import engine_config
from app.services.context import ServiceContext
from app.services.sidecar import save_sidecar
from engine.cache.stills import Still, encode_still
from engine.cache.vectors import StillVectors, VectorStore
from engine.index.segments import SegmentedIndex
from engine.media.frame import Frame
from engine.pipeline.encode import encode_frames
from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.engine import Engine, assemble
from engine.records import (
    Box,
    ChunkCommitted,
    ChunkRef,
    MediaInfo,
    Observation,
    Observed,
    SampleStats,
    TimeSpan,
    VideoId,
)
from engine.sight.detector import Detector
from engine.tensors import ChunkLatents, KvLatents
from storage.records import StartClock

BEGINS_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CLOCK_TICK_S: Final = 2.1
_CENTRES: Final = 256
_NOISE: Final = 0.5
"""Length of what is added to a centre, as a share of the centre's."""
_SCENES: Final = 4096
"""Looks that stills have."""
_DRIFT: Final = 0.3
"""Deviation of a frame's log-odds from its scene's, as a share of the deviation among classes."""
_PEAKEDNESS: Final = 2.0
"""Deviation of the log-probabilities of classes."""
_SHOWN: Final = 2
"""Labels that a detector finds in a still."""
_LABELS: Final = ("person", "car", "dog", "truck", "bicycle", "bus")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnVideo:
    """One video to draw."""

    name: str
    file_name: str
    n_chunks: int
    observations: int = 0
    start_at: datetime | None = None
    length_s: float | None = None
    """What its chunks cover; a frame of each at the model's pace when `None`."""


def clips(n_videos: int, n_chunks: int) -> Iterator[DrawnVideo]:
    """Yield short videos with observations and without a clock."""
    for idx in range(n_videos):
        yield DrawnVideo(
            name=f"clip {idx:05d}",
            file_name=f"clip{idx:05d}.mp4",
            n_chunks=n_chunks,
            observations=10,
        )


def camera_days(n_cameras: int, n_days: int) -> Iterator[DrawnVideo]:
    """Yield a file a day of each camera: a clock, observations, and one chunk for the day."""
    for day in range(n_days):
        for camera in range(n_cameras):
            at = BEGINS_AT + timedelta(days=day)
            yield DrawnVideo(
                name=f"camera {camera:03d} {at:%Y-%m-%d}",
                file_name=f"cam{camera:03d}_{at:%Y%m%d}_000000.mp4",
                n_chunks=1,
                observations=20,
                start_at=at,
                length_s=86_400.0,
            )


def draw_library(context: ServiceContext, videos: Iterator[DrawnVideo]) -> tuple[VideoId, ...]:
    """Write videos into a library as ingest and observers would leave them; return their ids."""
    # Nothing waits for the disk: the whole library is thrown away.
    config = replace(engine_config(context.settings, context.index_choice), durable=False)
    engine = assemble(config, model=context.engine.model)
    stores = tuple(
        (store, VectorStore(store.vectors.folder.parent, store.vectors.fingerprint, durable=False))
        for store in context.encoders
    )
    latents, picture = _latents(engine), _picture(context)
    drawn = []
    for number, video in enumerate(videos):
        generator = np.random.default_rng(number)
        drawn.append(_draw(context, engine, stores, latents, picture, video, generator))
    # What a running ingest would have saved, once folders are older than a tick of their clock.
    time.sleep(_CLOCK_TICK_S)
    engine.refresh()
    engine.save_index()
    for store, _ in stores:
        store.refresh()
        store.save()
    for index in (engine.index, *(store.index for store, _ in stores)):
        assert isinstance(index, SegmentedIndex), "every library has segments"
        # Codes and overviews are made beside everything else; they are measured, too.
        index.settle()
    return tuple(drawn)


def _draw(
    context: ServiceContext,
    engine: Engine,
    stores: Sequence[tuple[EncoderIndex, VectorStore]],
    latents: KvLatents,
    picture: Still,
    video: DrawnVideo,
    generator: np.random.Generator,
) -> VideoId:
    n_frames = engine.model.card.chunk_frames
    length_s = video.length_s or video.n_chunks * n_frames / engine.sampling.fps
    row = context.catalog.videos.add(
        name=video.name,
        uri=f"/drawn/{video.file_name}",
        file_name=video.file_name,
        media=MediaInfo(
            uri=f"/drawn/{video.file_name}",
            container="mp4",
            video_codec="h264",
            fps=25.0,
            height_px=360,
            width_px=640,
            duration_s=length_s,
        ),
        clock=None if video.start_at is None else StartClock(at=video.start_at, source="file_name"),
    )
    context.catalog.videos.begin_ingest(
        row.id,
        fingerprint=engine.fingerprint,
        model=f"{engine.model.card.family}/{engine.model.card.variant}",
        sample_fps=engine.sampling.fps,
        compression_ratio=engine.compression_ratio,
    )
    committed: list[ChunkCommitted] = []
    for ordinal in range(video.n_chunks):
        span = TimeSpan(
            start_s=ordinal * length_s / video.n_chunks,
            end_s=(ordinal + 1) * length_s / video.n_chunks,
        )
        ref = ChunkRef(video=row.id, ordinal=ordinal, span=span)
        kept = _chunk(engine, ref, latents, generator)
        engine.index.add([(kept.ref, kept.frame_vectors, kept.pts_s)])
        stats = SampleStats(frames_sampled=n_frames * (ordinal + 1))
        committed.append(engine.cache.put(kept, activity=float(generator.random()), stats=stats))
        pictures = [Still(pts_s=pts_s, jpeg=picture.jpeg) for pts_s in kept.pts_s.tolist()]
        context.stills.put(
            row.id, ordinal, pictures, end_s=span.end_s, reading=engine.fingerprint, durable=False
        )
        for store, vectors in stores:
            vectors.put(
                StillVectors(
                    chunk=kept.ref,
                    reading=engine.fingerprint,
                    vectors=_still_vectors(store, n_frames, generator),
                    pts_s=kept.pts_s,
                )
            )
    context.catalog.chunks.replace(row.id, engine.fingerprint, committed)
    _observe(context, row.id, video.observations, length_s, generator)
    save_sidecar(context, context.catalog.videos.end_ingest(row.id, "ready", wall_s=1.0))
    return row.id


def _chunk(
    engine: Engine, ref: ChunkRef, latents: KvLatents, generator: np.random.Generator
) -> ChunkLatents:
    """Return a chunk whose frames lie evenly over its span."""
    card = engine.model.card
    shares = torch.arange(card.chunk_frames, dtype=torch.float64) / card.chunk_frames
    return ChunkLatents(
        ref=ref,
        latents=latents,
        frame_vectors=draw_vectors(card.chunk_frames, card.vector_dim, generator),
        pts_s=ref.span.start_s + shares * ref.span.duration_s,
    )


def draw_vectors(
    count: int, dim: int, generator: np.random.Generator
) -> Float32[Tensor, "frame dim"]:
    """Return unit vectors near one of a few hundred centres."""
    centre = np.random.default_rng(int(generator.integers(_CENTRES))).standard_normal(dim)
    noise = generator.standard_normal((count, dim)) * _NOISE
    return normalize(torch.from_numpy((centre + noise).astype(np.float32)), dim=1)


def _still_vectors(
    store: EncoderIndex, count: int, generator: np.random.Generator
) -> Float32[Tensor, "still dim"]:
    """Return vectors as an encoder makes them; of concepts, probabilities and two lengths."""
    card = store.encoder.card
    if card.name != "concepts":
        return draw_vectors(count, card.dim, generator)
    # As those of real clips: 16 classes of a thousand above 0.01, and 160 above 0.001.
    scene = np.random.default_rng(int(generator.integers(_SCENES))).standard_normal(card.dim - 2)
    drift = generator.standard_normal((count, card.dim - 2)) * _DRIFT
    n_classes = card.dim - 2 - len(Detector.labels)
    classes = np.exp(_PEAKEDNESS * (scene + drift)[:, :n_classes])
    vectors = np.zeros((count, card.dim), np.float32)
    vectors[:, :n_classes] = classes / classes.sum(axis=1, keepdims=True)
    # Squared confidences: of most labels there are none.
    shown = generator.integers(n_classes, card.dim - 2, _SHOWN)
    vectors[:, shown] = generator.random((count, _SHOWN), dtype=np.float32) ** 2
    vectors[:, -2:] = generator.uniform(1.0, 2.5, 2) + 0.05 * generator.random((count, 2))
    return torch.from_numpy(vectors)


def _picture(context: ServiceContext) -> Still:
    """Return one picture, which every still is: a question looks at some again."""
    pixels = np.random.default_rng(0).integers(0, 256, (36, 64, 3), np.uint8)
    still = encode_still(pixels, 0.0, context.stills.config)
    assert still is not None, "the picture has a size"
    return still


def _latents(engine: Engine) -> KvLatents:
    """Return latents of one chunk in the shape that the model gives them."""
    frames = [
        Frame(pixels=np.full((64, 64, 3), 8 * idx, np.uint8), pts_s=float(idx))
        for idx in range(engine.model.card.chunk_frames)
    ]
    stream = engine.model.open_stream(compression_ratio=engine.compression_ratio)
    latents = engine.model.compress(encode_frames(engine.model, frames), stream)
    assert isinstance(latents, KvLatents), "only families that keep keys and values are drawn"
    return latents


def _observe(
    context: ServiceContext,
    video: VideoId,
    count: int,
    length_s: float,
    generator: np.random.Generator,
) -> None:
    rows = []
    for track, start_s in enumerate(sorted(generator.random(count) * length_s * 0.9)):
        span = TimeSpan(start_s=float(start_s), end_s=float(start_s) + 0.05 * length_s)
        box = Box(time_s=span.start_s, left=0.1, top=0.1, right=0.4, bottom=0.6)
        rows.append(
            Observation(
                video=video,
                kind="object",
                span=span,
                label=_LABELS[int(generator.integers(len(_LABELS)))],
                text="",
                confidence=float(generator.uniform(0.5, 1.0)),
                model="drawn",
                peak_s=span.start_s,
                track=track,
                boxes=(box,),
                colours=("red",),
                n_seen=5,
                n_looked=5,
            )
        )
    context.catalog.observations.replace(
        video,
        "object",
        rows,
        Observed(
            video=video,
            kind="object",
            model="drawn",
            labels=frozenset(Detector.labels),
            span=TimeSpan(start_s=0.0, end_s=length_s),
        ),
    )
