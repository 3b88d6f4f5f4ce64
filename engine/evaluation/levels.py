"""Levels of an answer: right when it is helped, right by itself, right for the right reason.

After VideoZeroBench (arXiv:2604.01569), whose third level is the plain end-to-end answer and whose
fifth asks for answer, moment and place at once. Thresholds of its own were not read: a moment is
right here where the first evidence shares a moment with it, a place where its IoU is at least one
half.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEVELS: Final = (
    "right when told when and where",
    "right when told when",
    "right",
    "right, with its moment",
    "right, with its moment and place",
)
PLACE_IOU: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The facts known of one answer: `None` is what was not asked, or has no truth."""

    told_both: bool | None = None
    """Whether the answer is right where moment and place are given."""
    told_when: bool | None = None
    is_right: bool
    shows_moment: bool | None = None
    """Whether the first evidence shares a moment with the truth."""
    place_iou: float | None = None
    """Of the box that is stated with the true one; 0 where none is stated."""


def levels_of(attempt: Attempt) -> tuple[bool | None, ...]:
    """Return which of the five levels an attempt reaches; `None` where one was not measured."""
    with_moment = (
        None if attempt.shows_moment is None else attempt.is_right and attempt.shows_moment
    )
    with_place = None
    if with_moment is not None and attempt.place_iou is not None:
        with_place = with_moment and attempt.place_iou >= PLACE_IOU
    return (attempt.told_both, attempt.told_when, attempt.is_right, with_moment, with_place)


def shares_of(attempts: Sequence[Attempt]) -> tuple[float | None, ...]:
    """Return the share of attempts that reach each level, among those of which it was measured."""
    columns = zip(*map(levels_of, attempts), strict=True) if attempts else [()] * len(LEVELS)
    shares: list[float | None] = []
    for column in columns:
        known = [value for value in column if value is not None]
        shares.append(sum(known) / len(known) if known else None)
    return tuple(shares)
