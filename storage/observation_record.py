"""The row of an observation in the database to its record, and back.

A question reads thousands of rows and looks at the places of few: those are made when asked for.
"""

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, overload

from sqlalchemy import String
from sqlalchemy import cast as sql_cast

from engine.records import Box, Observation, TimeSpan
from storage.full_text import words_of
from storage.observation_tables import ObservationTable

_BOX_DIGITS = 4
"""Digits of a box's sides that are kept: a tenth of a pixel of a still."""

COLUMNS: Final = (
    *(
        getattr(ObservationTable, name)
        for name in (
            "video_id", "kind", "start_s", "end_s", "label", "text", "confidence", "model",
            "peak_s", "track", "heading", "n_seen", "n_looked",
        )
    ),
    # As text: of thousands of rows the boxes of a few are looked at.
    sql_cast(ObservationTable.boxes, String).label("boxes"),
    sql_cast(ObservationTable.colours, String).label("colours"),
)  # fmt: skip
"""The columns of an observation: read as they are, for mapped objects take three times as long."""
_N_COLUMNS: Final = len(COLUMNS)


def observation_row(row: Observation) -> ObservationTable:
    """Return a record as a row to add."""
    return ObservationTable(
        video_id=row.video,
        kind=row.kind,
        start_s=row.span.start_s,
        end_s=row.span.end_s,
        label=row.label,
        text=row.text,
        words=" ".join(words_of(" ".join([*row.colours, row.label, row.heading, row.text]))),
        confidence=row.confidence,
        model=row.model,
        peak_s=row.peak_s,
        track=row.track,
        boxes=[_sides(box) for box in row.boxes],
        colours=[*row.colours],
        heading=row.heading,
        n_seen=row.n_seen,
        n_looked=row.n_looked,
    )


def _sides(box: Box) -> list[float]:
    sides = (box.left, box.top, box.right, box.bottom)
    return [box.time_s, *(round(side, _BOX_DIGITS) for side in sides)]


def observation_record(row: Any) -> Observation:
    """Return the record of a row of `COLUMNS`; more may follow them."""
    # By position, in the order of `COLUMNS`: by name it takes a fifth longer.
    (
        video, kind, start_s, end_s, label, text, confidence, model, peak_s, track, heading,
        n_seen, n_looked, boxes, colours,
    ) = row[:_N_COLUMNS]  # fmt: skip
    return Observation(
        video=video,
        kind=kind,
        span=TimeSpan(start_s=start_s, end_s=end_s),
        label=label,
        text=text,
        confidence=confidence,
        model=model,
        peak_s=peak_s,
        track=track,
        boxes=StoredBoxes(boxes) if boxes != "[]" else (),
        colours=_names(colours),
        heading=heading,
        n_seen=n_seen,
        n_looked=n_looked,
    )


@lru_cache(maxsize=1024)
def _names(text: str) -> tuple[str, ...]:
    # A dozen colours, and few ways to combine them.
    return tuple(json.loads(text))


class StoredBoxes(Sequence[Box]):
    """Boxes that are made when the first of them is asked for; equal to a tuple of the same.

    Args:
        text: A list of lists in JSON: time, left, top, right and bottom of each.
    """

    __slots__ = ("_made", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._made: tuple[Box, ...] | None = None

    @property
    def _boxes(self) -> tuple[Box, ...]:
        if self._made is None:
            self._made = tuple(
                Box(time_s=time_s, left=left, top=top, right=right, bottom=bottom)
                for time_s, left, top, right, bottom in json.loads(self._text)
            )
        return self._made

    def __len__(self) -> int:
        # A bracket for each and one around them: lists of numbers hold no others.
        return self._text.count("[") - 1

    @overload
    def __getitem__(self, at: int) -> Box: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Box, ...]: ...
    def __getitem__(self, at: int | slice) -> Box | tuple[Box, ...]:
        return self._boxes[at]

    def __iter__(self) -> Iterator[Box]:
        return iter(self._boxes)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, StoredBoxes):
            return self._boxes == other._boxes
        return self._boxes == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._boxes)

    def __repr__(self) -> str:
        return repr(self._boxes)
