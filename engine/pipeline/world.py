"""The narrow world of a model that was not trained on real footage, and whether footage is of it.

A checkpoint states it in `world.json` beside its weights: a sentence for the reader of its
answers, phrases of what its footage looks like, and how near frames of it come to them. A model
without the file is taken to know real footage.
"""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from torch import Tensor

from engine.errors import InputRefusedError
from engine.protocols import VectorIndex
from engine.records import TimeSpan, VideoId

Item = TypeVar("Item")

FILE_NAME = "world.json"
MOST_CHUNKS = 12
"""Chunks that are looked at, evenly over the scope: a world does not change within a video, and
of several videos most must be of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWorld:
    """A world that a model knows, and nothing beside it."""

    sentence: str
    """For readers of answers: "The model nano knows only footage that Longwatch draws itself."."""
    phrases: tuple[str, ...]
    """Captions: every frame of that world fits at least one of them."""
    least_cosine: float
    """Least cosine between a frame and its nearest phrase, at the median over frames."""


def read_world(folder: Path) -> ModelWorld | None:
    """Return the world of a checkpoint; `None` where it states none.

    Raises:
        InputRefusedError: The file cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        return ModelWorld(**{**stated, "phrases": tuple(stated["phrases"])})
    except (KeyError, TypeError, ValueError) as error:
        known = ", ".join(item.name for item in fields(ModelWorld))
        raise InputRefusedError(f"{path}: {error}", hint=f"it holds {known}") from error


def is_of_world(
    world: ModelWorld,
    phrases: Float32[Tensor, "phrase dim"],
    footage: Iterable[Float32[Tensor, "frame dim"]],
) -> bool:
    """Return whether footage is of a world, by the model's own frame vectors.

    Args:
        world: That the model knows.
        phrases: Vectors of the world's phrases.
        footage: Vectors of frames.
    """
    nearest: list[float] = []
    for vectors in footage:
        nearest += (vectors.float() @ phrases.T).max(dim=1).values.tolist()
    return bool(nearest) and statistics.median(nearest) >= world.least_cosine


def videos_of_world(
    world: ModelWorld,
    phrases: Float32[Tensor, "phrase dim"],
    index: VectorIndex,
    videos: Iterable[VideoId],
) -> dict[VideoId, bool]:
    """Return of each video that the index holds whether it is of a world.

    Args:
        world: That the model knows.
        phrases: Vectors of the world's phrases.
        index: Of the model's frame vectors.
        videos: Any number of them.
    Cost: the vectors of at most a dozen chunks of each video, in one pass.
    """
    refs = index.refs()
    verdicts: dict[VideoId, bool] = {}
    scope: list[tuple[VideoId, TimeSpan]] = []
    for video in videos:
        of_video = refs.of_video(video)
        for place in evenly_spaced(range(of_video.start, of_video.stop), MOST_CHUNKS):
            start_s, end_s = float(refs.start_s[place]), float(refs.end_s[place])
            scope.append((video, TimeSpan(start_s=start_s, end_s=end_s)))
    frames = index.scores(phrases, within=scope)
    if not len(frames.pts_s):
        return verdicts
    nearest = frames.scores.max(dim=0).values.numpy()
    of_frame = frames.chunks.video_idx[frames.chunk.numpy()]
    for part in np.split(np.arange(len(of_frame)), np.flatnonzero(np.diff(of_frame)) + 1):
        video = frames.chunks.videos[int(of_frame[part[0]])]
        # NumPy's own median takes ten times as long for a hundred numbers.
        verdicts[video] = statistics.median(nearest[part].tolist()) >= world.least_cosine
    return verdicts


def evenly_spaced(items: Sequence[Item], count: int) -> list[Item]:
    """Return so many items, the middles of equal stretches; all of them when there are fewer."""
    count = max(0, min(count, len(items)))
    return [items[(2 * idx + 1) * len(items) // (2 * count)] for idx in range(count)]
