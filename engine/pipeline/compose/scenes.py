"""Kinds of place that a picture shows: by the things that stand there, else by its looks."""

from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.sentences import article, listed, sentence, stretch
from engine.pipeline.compose.visits import Visit, proofs
from engine.pipeline.compose.witnesses import grade_rows

_CLAIM: Final = 0.9
"""Log-odds from which a place is told: one of thirty has to stand out."""
_ROOMS: Final[tuple[tuple[str, frozenset[str], int], ...]] = (
    # A room, what is found there, and of how many of them it takes to say so.
    ("kitchen", frozenset(("oven", "refrigerator", "microwave", "sink", "toaster")), 2),
    ("bathroom", frozenset(("toilet", "sink", "toothbrush", "hair drier")), 2),
    ("bedroom", frozenset(("bed",)), 1),
    ("living room", frozenset(("couch", "tv", "potted plant", "remote")), 2),
    ("office", frozenset(("laptop", "keyboard", "mouse", "tv", "chair")), 3),
    ("street", frozenset(("car", "bus", "truck", "traffic light", "stop sign", "motorcycle")), 2),
)
_PLACES: Final = {
    # A word of the encoders for a place, and where that is.
    "kitchen": "in a kitchen", "bathroom": "in a bathroom", "bedroom": "in a bedroom",
    "living room": "in a living room", "office": "in an office", "classroom": "in a classroom",
    "library": "in a library", "restaurant": "in a restaurant", "supermarket": "in a supermarket",
    "shop": "in a shop", "factory": "in a factory", "garage": "in a garage", "gym": "in a gym",
    "theater": "in a theatre", "church": "at a church", "stadium": "in a stadium",
    "swimming pool": "at a swimming pool", "street": "in a street", "highway": "on a motorway",
    "parking lot": "in a car park", "petrol station": "at a petrol station",
    "airport": "at an airport", "harbour": "in a harbour", "playground": "on a playground",
    "beach": "on a beach", "lake": "at a lake", "mountain": "in the mountains",
    "snow": "in the snow", "desert": "in a desert", "forest": "in a forest",
    "meadow": "in a meadow", "greenhouse": "in a greenhouse", "farm": "on a farm",
}  # fmt: skip


def what_place(footage: WatchedFootage) -> Composed | None:
    """Answer which kind of place the picture shows, by the encoders of stills."""
    by_things = _by_things(footage)
    if by_things is not None:
        return by_things
    fits = footage.look.fits(tuple(_PLACES), footage.scope)
    best = max(fits, key=lambda fit: fit.log_odds, default=None)
    if best is None or best.log_odds <= _CLAIM:
        return None
    item = best.evidence
    text = f"{_PLACES[best.phrase]}, by its looks, {stretch(footage, item.video, item.span)}"
    return Composed(text=sentence(text), evidence=(item,))


def _by_things(footage: WatchedFootage) -> Composed | None:
    """Answer by things that stand in one room and no other."""
    rows = grade_rows(footage, footage.of("object")).sure
    for room, things, least in _ROOMS:
        seen = [row for row in rows if row.label in things]
        labels = list(dict.fromkeys(row.label for row in seen))
        if len(labels) >= least:
            text = f"{article(room)}, to judge by {listed([article(label) for label in labels])}"
            visits = [Visit(video=row.video, span=row.span, rows=(row,)) for row in seen[:5]]
            return Composed(text=sentence(text), evidence=proofs(visits))
    return None
