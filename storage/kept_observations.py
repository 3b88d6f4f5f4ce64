"""Rows of observers as they are kept with what rests on them: observers may look again."""

from typing import Any, cast

from engine.records import Observation, ObservationKind, TimeSpan, VideoId
from storage.records import Json


def keep_observation(row: Observation) -> dict[str, Any]:
    """Return what a reader is shown of a row: its boxes stay with the row."""
    return {
        "kind": row.kind,
        "start_s": row.span.start_s,
        "end_s": row.span.end_s,
        "label": row.label,
        "text": row.text,
        "confidence": row.confidence,
        "model": row.model,
        "peak_s": row.peak_s,
        "colours": [*row.colours],
    }


def kept_observation(video: VideoId, kept: Json) -> Observation:
    """Return a row that was kept."""
    return Observation(
        video=video,
        kind=cast(ObservationKind, kept["kind"]),
        span=TimeSpan(start_s=kept["start_s"], end_s=kept["end_s"]),
        label=kept["label"],
        text=kept["text"],
        confidence=kept["confidence"],
        model=kept["model"],
        peak_s=kept["peak_s"],
        colours=tuple(kept["colours"]),
    )
