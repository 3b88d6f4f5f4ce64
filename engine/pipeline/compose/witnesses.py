"""Certainty of rows, and the right to deny a thing: the detector is never believed alone.

The figures are of SSD MobileNetV2 at 300 pixels, whose confidences they bound; another detector
is held to the same until it is calibrated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from engine.pipeline.compose.footage import WatchedFootage
from engine.pipeline.compose.visits import area, box_at, overlap
from engine.records import Observation
from engine.sight.thing_words import NamedThing
from engine.sight.word_groups import word_set

Certainty = Literal["sure", "likely", "doubtful"]

PERSON_CONFIDENCE: Final = 0.5
"""From which a person that persists is sure: 6 of 6 visits and no false one on footage of a room
(at 0.3 too, which tracks may have as their weakest frame)."""
OTHER_CONFIDENCE: Final = 0.6
"""From which any other thing is sure with a second witness."""
LONE_CONFIDENCE: Final = 0.85
"""From which a large thing that persists is sure where no second witness can be called: the
classifier has no class for it, or no still is kept."""
PERSISTS_FRAMES: Final = 2
"""Frames in which a thing has to be found: false detections flicker."""
POSTERIOR: Final = 0.15
"""Of all classes that mean the label, on the crop: a thousand classes share 1, so that this is
far above the hundredth or so that relatives of nothing reach."""
ABSENT_POSTERIOR: Final = 0.03
"""Below which the classifier speaks against a thing that it has classes for."""

HELD: Final = word_set(
    "tie, fork, knife, spoon, mouse, remote, keyboard, toothbrush, scissors, book, cup, cell "
    "phone, "
    "hair drier, wine glass, baseball glove, tennis racket, handbag"
)
"""Small things of rooms and hands: without a person or furniture in view they are doubtful. The
false "cell phone" at confidence 1.00 was a car seen from above."""
COMPANY: Final = word_set(
    "person, chair, couch, bed, laptop, tv, oven, sink, toilet, bowl, bottle, dining table"
)
FOUND_WELL: Final = word_set(
    "person car bus train truck airplane dog cat horse cow sheep elephant bear zebra giraffe bed "
    "toilet pizza"
)
"""Labels that the detector finds wherever they are more than a few per cent of the picture; the
rest it overlooks too often for a denial."""
MOVERS: Final = word_set(
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, bird, cat, dog, horse, "
    "sheep, cow, elephant, bear, zebra, giraffe, sports ball, frisbee, kite, skateboard"
)
"""Things that move by themselves: motion without a name may be one of them."""


NEVER_SMALL: Final = word_set("elephant bear zebra giraffe")
"""Movers that no small unnamed motion is: a person or a car may be far away."""
CALIBRATED: Final = "concepts"
"""The encoder whose log-odds `SILENT` is of; another that is surer leaves a thing open."""
SILENT: Final = -8.3
"""Log-odds of the concepts below which nothing of a thing is seen at any moment: of 935 pairs of
absent phrases and clips four in ten lie below, of 65 present ones none; -8.4 is the least."""

CONFUSED: Final = (
    word_set("car truck bus train"),
    word_set("cat dog horse sheep cow bear zebra giraffe elephant"),
)
"""Labels that the detector takes for each other: where there is one, no other is denied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """Object rows of a thing, by how sure they are; each in time order."""

    sure: tuple[Observation, ...]
    likely: tuple[Observation, ...]
    doubtful: tuple[Observation, ...]

    @property
    def all(self) -> tuple[Observation, ...]:
        """Every row, in time order."""
        rows = (*self.sure, *self.likely, *self.doubtful)
        return tuple(sorted(rows, key=lambda row: row.span.start_s))

    @property
    def presupposed(self) -> tuple[Observation, ...]:
        """The rows for a question that takes the thing for granted: its asker is a witness too."""
        rows = self.believed or self.likely
        return rows or tuple(row for row in self.doubtful if row.confidence >= OTHER_CONFIDENCE)

    @property
    def believed(self) -> tuple[Observation, ...]:
        """The rows to count and time: where some are sure, likely ones of the thing count too."""
        rows = (*self.sure, *self.likely) if self.sure else ()
        return tuple(sorted(rows, key=lambda row: row.span.start_s))


def grade(footage: WatchedFootage, thing: NamedThing) -> Graded:
    """Sort the rows that mean a thing, or something broader, by how sure they are."""
    return grade_rows(footage, footage.labelled(thing.labels))


def grade_rows(footage: WatchedFootage, rows: Sequence[Observation]) -> Graded:
    """Sort object rows by how sure they are.

    Cost: a classifier's look at each row that needs one, at most `footage.most_looks`.
    """
    order: Sequence[int] = range(len(rows))
    if footage.most_looks is not None:
        # The surest are looked at: what is claimed of a large library rests on them.
        order = sorted(order, key=lambda idx: -rows[idx].confidence)
    verdicts = {idx: _at_first_sight(footage, rows[idx]) for idx in order}
    is_borne_out, n_looks = "sure" in verdicts.values(), 0
    for idx in (idx for idx in order if verdicts[idx] is None):
        # One that is sure bears out the likely ones: it needs no other.
        is_enough = is_borne_out or n_looks == footage.most_looks
        may_look = footage.most_looks is None or not is_enough
        verdicts[idx] = _at_second_sight(footage, rows[idx], may_look=may_look)
        n_looks += may_look
        is_borne_out = is_borne_out or verdicts[idx] == "sure"
    return Graded(
        sure=tuple(row for idx, row in enumerate(rows) if verdicts[idx] == "sure"),
        likely=tuple(row for idx, row in enumerate(rows) if verdicts[idx] == "likely"),
        doubtful=tuple(row for idx, row in enumerate(rows) if verdicts[idx] == "doubtful"),
    )


def _at_first_sight(footage: WatchedFootage, row: Observation) -> Certainty | None:
    """Return how sure an object row is by itself; `None` where a look has to decide."""
    if not _is_plausible(footage, row):
        return "doubtful"
    persists = _persists(footage, row)
    if row.label == "person":
        if row.confidence >= PERSON_CONFIDENCE and (persists or row.confidence >= 0.8):
            return "sure"
        return "likely" if persists or row.confidence >= PERSON_CONFIDENCE else "doubtful"
    # Cars from behind or from above are classes of none: they may speak for themselves.
    if row.confidence >= LONE_CONFIDENCE and persists and row.label in FOUND_WELL:
        return "sure"
    return None


def _at_second_sight(footage: WatchedFootage, row: Observation, *, may_look: bool) -> Certainty:
    """Return how sure an object row is with whatever can bear it out."""
    persists = _persists(footage, row)
    at_most: Certainty = "likely" if persists and row.confidence >= 0.4 else "doubtful"
    if not may_look:
        return at_most
    posterior = _posterior(footage, row)
    if posterior is None:
        is_sure = row.confidence >= LONE_CONFIDENCE and persists
        is_sure = is_sure or (
            row.confidence >= OTHER_CONFIDENCE and persists and _moves(footage, row)
        )
        return "sure" if is_sure else "likely" if persists else "doubtful"
    if posterior >= POSTERIOR and (row.confidence >= 0.4 or (persists and posterior >= 0.3)):
        return "sure"
    if row.confidence >= OTHER_CONFIDENCE and persists and posterior >= ABSENT_POSTERIOR:
        return "sure"
    return at_most


def may_deny(footage: WatchedFootage, thing: NamedThing) -> bool:
    """Return whether "no" can be said of a thing of which there is no row at all.

    Something here must know it and find it well, have looked over all of the footage, and nothing
    may have moved there that no row names.
    """
    if footage.claimed or not footage.has_reach("object", thing.labels):
        return False
    is_class = bool(thing.classes) and not thing.has_broader_classes
    if is_class and not thing.labels & (MOVERS | HELD) and _is_silent(footage, thing):
        return True
    if not thing.labels:
        return False
    known = frozenset().union(*(seen.labels for seen in footage.reach if seen.kind == "object"))
    if not thing.labels <= known or not thing.labels <= FOUND_WELL:
        return False
    is_large = thing.labels <= NEVER_SMALL and _is_silent(footage, thing)
    if thing.labels & MOVERS and not is_large and unnamed_motion(footage):
        return False
    alike = frozenset().union(*(group for group in CONFUSED if group & thing.labels))
    if footage.labelled(alike):
        return False
    # Where vectors point, the classifier must not see it either.
    return all(
        sum(posterior[idx] for idx in thing.classes) < ABSENT_POSTERIOR
        for hit in footage.nearest[:5]
        if (posterior := footage.look.classes(hit.video, hit.keyframe_s))
    )


def _is_silent(footage: WatchedFootage, thing: NamedThing) -> bool:
    """Return whether the encoders of stills, too, see nothing of a thing at any moment."""
    fits = footage.look.fits([thing.phrase], footage.scope)
    return bool(fits) and fits[0].source == CALIBRATED and fits[0].log_odds < SILENT


def unnamed_motion(footage: WatchedFootage) -> tuple[Observation, ...]:
    """Return the motion rows that no object row explains, by time and place."""
    objects = [row for row in footage.of("object") if row.label in MOVERS]
    return tuple(
        motion
        for motion in footage.of("motion")
        if not any(_explains(row, motion) for row in objects if row.video == motion.video)
    )


def _explains(row: Observation, motion: Observation) -> bool:
    if row.span.overlap_s(motion.span) < 0.5 * motion.span.duration_s:
        return False
    pairs = [(box, box_at(row, box.time_s)) for box in motion.boxes]
    # Motion without boxes is of the whole picture: time alone has to do.
    return not pairs or any(other and overlap(box, other) > 0.3 for box, other in pairs)


def _persists(footage: WatchedFootage, row: Observation) -> bool:
    if row.n_seen >= PERSISTS_FRAMES:
        return True
    # A picture of a second has no second frame to be found in.
    watched = footage.first_span(row.video)
    whole = row.span if watched is None else watched.span
    return whole.duration_s <= 1.5


def _is_plausible(footage: WatchedFootage, row: Observation) -> bool:
    box = box_at(row, row.peak_s)
    if box is not None and row.label != "person" and area(box) < 0.0005:
        return False
    if row.label not in HELD:
        return True
    return any(
        other.label in COMPANY and other.video == row.video and other.span.overlap_s(row.span) > 0
        for other in footage.of("object")
    )


def _moves(footage: WatchedFootage, row: Observation) -> bool:
    return row.label in MOVERS and any(
        motion.video == row.video and _explains(row, motion) for motion in footage.of("motion")
    )


def _posterior(footage: WatchedFootage, row: Observation) -> float | None:
    """Return the classifier's share for a row's label on its box; `None` without a say."""
    classes = footage.vocabulary.classes_of(row.label)
    if not classes:
        return None
    posterior = footage.look.classes(row.video, row.peak_s, box_at(row, row.peak_s))
    return sum(posterior[idx] for idx in classes) if posterior else None
