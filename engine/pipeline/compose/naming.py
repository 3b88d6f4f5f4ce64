"""Names for what is seen: which animal, which object, and what somebody holds."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.order import by_label
from engine.pipeline.compose.scenes import what_place
from engine.pipeline.compose.sentences import (
    article,
    counted,
    evidence_at,
    evidence_of,
    listed,
    plural,
    sentence,
    stretch,
)
from engine.pipeline.compose.subjects import coloured, find_subject
from engine.pipeline.compose.visits import (
    Visit,
    area,
    box_at,
    individuals,
    merge,
    most_at_once,
    overlap,
    proofs,
)
from engine.pipeline.compose.wearing import worn
from engine.pipeline.compose.witnesses import grade_rows
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Observation, TimeSpan, VideoId
from engine.sight.thing_words import NamedThing, split_phrase
from engine.sight.word_groups import KINDS, expand, word_set

LOOKS: Final = 6
"""Stills that are classified for one question, taken evenly and where vectors point."""
NAMED: Final = 0.5
"""Mean posterior of a kind over stills from which it is named: better than even."""
NAMED_GIVEN: Final = 0.3
"""The same for whoever has seen that it is an animal, a fruit or whatever the kind is."""
HINTED: Final = 0.2
"""From which it is offered as perhaps."""
SEEN: Final = 0.1
"""Share of all classes from which a thing that is taken for granted is looked for by its class."""
_ASKS_FOR_ANY: Final = word_set("object thing item product goods stuff device subject it this that")
_PLACES: Final = word_set("table desk shelf wall floor plate ground picture background foreground")
_POURED: Final = word_set("drink coffee wine beer tea")
"""Kinds whose labels are what they are poured into."""
_IS_IT: Final = re.compile(
    r"\b(?:is|are|was|were) (?:it|this|that|they|these|there|shown|seen|visible|"
    r"in (?:the|this) \w+)\b|\bcan be seen\b"
)
"""Questions for the kind of a thing by its own name: "what bird is it"."""
_NO_OBJECTS: Final = word_set("sport, clothes, drink, food, tool, weapon, uniform")
"""Kinds that are too wide, or too far from what is seen, to name a thing by."""
_STANDS: Final = re.compile(
    r"^what (?:else )?(?:is|are|can be|stands?|lies|hangs?|sits?|flies|swims?|walks?|drives?|"
    r"comes?|passes|moves?|runs?|rises|sails?)\b.*\b(?:in|on|under|behind|beside|next to|near|at|"
    r"across|by|past|through|above|below|in front of|left|right|there)\b"
)
"""Questions for whatever is in a place, which name no kind of thing."""
_DONE: Final = re.compile(
    r"\b(?:painted|printed|drawn|made|poured|written|put|said|placed|taken)\b"
)
"""Of a thing that something was done to the doing is asked for."""
_CLEAR: Final = 0.5
"""Share of a kind's classes from which one of them is said rather than the kind."""
_FEW: Final = 40
"""Classes of a kind that says more than a detector's label: "mammal" has hundreds."""
_EDGE_SHARE: Final = 0.25
"""Share of the footage in which the first or the last of several kinds is looked for."""
_ASKS_FOR_KIND: Final = re.compile(r"\b(?:kind|type|sort|breed|species|model|make) of\b|\bbreed\b")
_HOLDS: Final = (
    "hold", "carry", "carri", "play", "use", "using", "ride", "riding", "drive", "eat", "drink",
    "throw", "push", "pull", "kick", "juggle", "in hand", "with",
)  # fmt: skip
_HELD: Final = word_set(
    "ball, musical instrument, tool, weapon, phone, camera, bag, bottle, cup, knife, spoon, toy"
)
_SPORTS: Final = {
    "tennis racket": "tennis", "baseball bat": "baseball", "baseball glove": "baseball",
    "skateboard": "skateboarding", "surfboard": "surfing", "skis": "skiing",
    "snowboard": "snowboarding", "frisbee": "frisbee", "sports ball": "a ball game",
}  # fmt: skip


def what(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer which kind of a thing is seen, or what somebody holds; by labels, then by classes."""
    phrase, rest = split_phrase(form.subject)
    thing = footage.vocabulary.thing(phrase)
    if "sport" in phrase:
        return _sport(footage)
    if any(word in phrase for word in ("room", "place", "location")):
        return what_place(footage)
    if re.search(r"\bwears?|\bwearing\b", form.text):
        return worn(footage, form)
    if thing.is_person and any(stem in rest for stem in _HOLDS):
        return _held(footage, form.subject)
    if "made of" in form.text:
        return None
    wants_any = not phrase or phrase.split()[-1].rstrip("s") in _ASKS_FOR_ANY
    if wants_any or phrase.split()[-1] in _PLACES:
        return anything(footage)
    if thing.is_known and not thing.is_person and not thing.is_broader:
        doing = find_subject(footage, form.subject).doing
        if form.extreme in {"first", "last"} and thing.noun in thing.labels and not doing:
            return describe_one(footage, form)
        is_kind = len(thing.labels | thing.classes) > 1 and thing.noun not in thing.labels
        # "Which bottle is taken" asks for one of them by what happens to it.
        asks = _ASKS_FOR_KIND.search(form.text) or _IS_IT.search(form.text)
        if is_kind or (asks and (not doing or _IS_IT.search(form.text))):
            is_plural = plural(thing.noun) in form.text
            return _kind(in_order(footage, form), thing, is_plural=is_plural)
    is_for_any = bool(_STANDS.search(form.text)) and not _DONE.search(form.text)
    # "What is the lion lying on" asks for what is below, which nothing here tells.
    is_for_any = is_for_any and not form.text.endswith((" on", " in", " at", " with"))
    return anything(footage, beside=thing) if is_for_any else None


def describe_one(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Describe the first or the last of several things by its colours and time."""
    subject = find_subject(footage, form.subject)
    visits = individuals(subject.matching(is_given=True))
    if not visits:
        return None
    visit = visits[-1] if form.extreme == "last" else visits[0]
    visit = replace(visit, rows=tuple(coloured(footage, row) for row in visit.rows))
    colours = listed(list(dict.fromkeys(name for row in visit.rows for name in row.colours))[:2])
    if not colours:
        # Whoever asks which one it is knows what it is.
        return None
    looks = f"{colours} "
    span = stretch(footage, visit.video, visit.span)
    return Composed(
        text=sentence(f"{article(f'{looks}{subject.noun}')}, {span}"), evidence=proofs([visit])
    )


def classified(
    footage: WatchedFootage, classes: Sequence[int] | None = None
) -> tuple[list[float], list[tuple[VideoId, float]]]:
    """Return mean posteriors over stills of the footage, and which stills they are.

    Args:
        footage: Where to look.
        classes: The ones that count; all when `None`.
    """
    stills = _stills(footage)
    posteriors = [(at, footage.look.classes(*at)) for at in stills]
    known = [(at, posterior) for at, posterior in posteriors if posterior]
    if not known:
        return [], []
    n_classes = len(known[0][1])
    wanted = range(n_classes) if classes is None else classes
    # The better half counts: a thing is seldom in every still.
    known.sort(key=lambda pair: -max(pair[1][idx] for idx in wanted))
    best = known[: max(1, (len(known) + 1) // 2)]
    means = [sum(posterior[idx] for _, posterior in best) / len(best) for idx in range(n_classes)]
    return means, [at for at, _ in best]


def in_order(footage: WatchedFootage, form: QuestionForm) -> WatchedFootage:
    """Return the first or the last fifth of the footage for a question of what comes there."""
    if form.extreme not in {"first", "last"} or not footage.is_one_video:
        return footage
    first_s, last_s = footage.watched[0].span.start_s, footage.watched[-1].span.end_s
    edge_s = _EDGE_SHARE * (last_s - first_s)
    is_first = form.extreme == "first"
    return footage.within(
        TimeSpan(
            start_s=first_s if is_first else last_s - edge_s,
            end_s=first_s + edge_s if is_first else last_s,
        )
    )


def _kind(footage: WatchedFootage, thing: NamedThing, *, is_plural: bool) -> Composed | None:
    """Name the kind of animal, vehicle or fruit that is seen."""
    rows = grade_rows(footage, footage.labelled(thing.labels)).presupposed
    groups = by_label(rows) if thing.noun not in _POURED else {}
    means, stills = classified(footage, sorted(thing.classes)) if thing.classes else ([], [])
    mass = sum(means[idx] for idx in thing.classes) if means else 0.0
    of_groups = frozenset().union(*map(footage.vocabulary.classes_of, groups))
    # Of animals the classifier knows more than the detector, which calls a lion a dog.
    agrees = mass < NAMED_GIVEN or sum(means[idx] for idx in of_groups) >= 0.5 * mass
    agrees = agrees or not _is_close(means, thing.classes, mass)
    if groups and agrees and set(groups) != {thing.noun}:
        composed = _labels(footage, groups, is_plural=is_plural)
        finer = "" if len(groups) > 1 else _finer(footage, next(iter(groups)))
        return replace(composed, text=sentence(composed.text.rstrip(".") + finer))
    if not means:
        return None
    return _by_class(footage, means, stills, thing.classes, least=NAMED_GIVEN)


def _is_close(means: Sequence[float], classes: frozenset[int], mass: float) -> bool:
    """Return whether one class, or a few that are alike, hold most of the mass of a kind."""
    kind = _narrowest_kind(means, classes, mass)
    is_few = kind is not None and len(expand(KINDS[kind][1])) <= _FEW
    return is_few or max(means[idx] for idx in classes) >= _CLEAR * mass


def _finer(footage: WatchedFootage, label: str) -> str:
    """Return what a label's things are by their looks, as the end of a sentence; else nothing."""
    classes = footage.vocabulary.classes_of(label)
    means, _ = classified(footage, sorted(classes)) if classes else ([], [])
    mass = sum(means[idx] for idx in classes) if means else 0.0
    if mass < NAMED:
        return ""
    top = max(classes, key=means.__getitem__)
    is_clear = means[top] >= NAMED * mass
    name = (
        footage.vocabulary.class_names[top] if is_clear else _narrowest_kind(means, classes, mass)
    )
    return f", by its looks {article(name)}" if name and name != label else ""


def _by_class(
    footage: WatchedFootage,
    means: Sequence[float],
    stills: Sequence[tuple[VideoId, float]],
    classes: frozenset[int],
    *,
    least: float = NAMED,
) -> Composed | None:
    mass = sum(means[idx] for idx in classes)
    if mass < HINTED:
        return None
    top = max(classes, key=means.__getitem__)
    name = footage.vocabulary.class_names[top]
    kind = _narrowest_kind(means, classes, mass)
    if kind and kind not in name:
        name = kind if means[top] < _CLEAR * mass else f"{kind}, more closely {article(name)}"
    video, time_s = stills[0]
    at = stretch(footage, video, TimeSpan(start_s=time_s, end_s=time_s))
    proof = evidence_at(video, time_s, score=mass)
    if mass >= least:
        return Composed(text=sentence(f"{article(name)}, by its looks, {at}"), evidence=(proof,))
    text = f"perhaps {article(name)} {at}; that is not confirmed"
    return Composed(text=sentence(text), verdict="unsure", evidence=(proof,))


def _narrowest_kind(means: Sequence[float], classes: frozenset[int], mass: float) -> str | None:
    """Return the smallest kind that holds most of the mass: "hawk" for kites and eagles."""
    kinds = []
    for word, (_, ranges) in KINDS.items():
        members = expand(ranges)
        if members < classes and sum(means[idx] for idx in members) >= 0.6 * mass:
            kinds.append((len(members), word))
    return min(kinds)[1] if kinds else None


def _labels(
    footage: WatchedFootage, groups: dict[str, tuple[Observation, ...]], *, is_plural: bool = False
) -> Composed:
    parts: list[str] = []
    visits: list[Visit] = []
    for label, rows in list(groups.items())[:5]:
        count, _ = most_at_once(individuals(rows))
        merged = merge(rows)
        # Whoever asks for one animal is told which; a track that broke makes no second one.
        name = counted(count, label) if is_plural and count > 1 else article(label)
        parts.append(f"{name} ({stretch(footage, merged[0].video, merged[0].span)})")
        visits += merged[:1]
    return Composed(text=sentence(listed(parts)), evidence=proofs(visits))


def anything(footage: WatchedFootage, beside: NamedThing | None = None) -> Composed | None:
    """Name what stands out: sure objects other than people, else what the classifier is sure of.

    Args:
        footage: Where to look.
        beside: A thing that is named already, "the people" of "behind the people".
    """
    but = frozenset(("person",)) | (beside.labels if beside else frozenset())
    rows = grade_rows(footage, footage.of("object")).sure
    things = by_label([row for row in rows if row.label not in but])
    means, stills = classified(footage)
    for idx in beside.classes if beside and means else ():
        means[idx] = 0.0
    top = max(range(len(means)), key=means.__getitem__, default=None)
    if top is not None and means[top] >= NAMED:
        return _by_class(footage, means, stills, frozenset((top,)))
    if things:
        return _labels(footage, things)
    kind = _likeliest_kind(means) if means else None
    if kind is not None:
        return _by_class(footage, means, stills, kind)
    return None if top is None else _by_class(footage, means, stills, frozenset((top,)))


def _likeliest_kind(means: Sequence[float]) -> frozenset[int] | None:
    """Return the classes of the narrowest kind that is better than even; `None` without one."""
    kinds = [
        (len(members), members)
        for word, (_, ranges) in KINDS.items()
        if word not in _NO_OBJECTS
        and (members := expand(ranges))
        and sum(means[idx] for idx in members) >= NAMED
    ]
    return min(kinds, key=lambda pair: pair[0])[1] if kinds else None


def touching(
    footage: WatchedFootage, people: Sequence[Observation], *, is_larger: bool = False
) -> list[Observation]:
    """Return the sure rows of things whose boxes touch somebody's.

    Args:
        footage: With the rows.
        people: Whose.
        is_larger: Whether things larger than the person count too: a table beside somebody is
            larger than what hands hold.
    """
    return [
        row
        for row in grade_rows(footage, footage.of("object")).sure
        if row.label != "person"
        and any(_touch(row, person, is_larger=is_larger) for person in people)
    ]


def _held(footage: WatchedFootage, text: str) -> Composed | None:
    """Name the things whose boxes touch the person that was asked about."""
    held = touching(footage, find_subject(footage, text).matching())
    if held:
        return _labels(footage, by_label(held))
    classes = frozenset().union(*(expand(KINDS[kind][1]) for kind in _HELD))
    means, stills = classified(footage, sorted(classes))
    return _by_class(footage, means, stills, classes, least=NAMED_GIVEN) if means else None


def _touch(row: Observation, person: Observation, *, is_larger: bool) -> bool:
    pairs = [(box, box_at(person, box.time_s)) for box in row.boxes]
    close = [
        box
        for box, other in pairs
        if other and overlap(box, other) > 0.3 and (is_larger or area(box) < area(other))
    ]
    return row.video == person.video and len(close) * 2 >= len(pairs) > 0


def _sport(footage: WatchedFootage) -> Composed | None:
    rows = grade_rows(footage, footage.labelled(frozenset(_SPORTS))).sure
    if not rows:
        return None
    best = max(rows, key=lambda row: row.confidence)
    span = stretch(footage, best.video, best.span)
    text = f"{_SPORTS[best.label]}, to judge by the {best.label} {span}"
    return Composed(text=sentence(text), evidence=(evidence_of([best]),))


def _stills(footage: WatchedFootage) -> list[tuple[VideoId, float]]:
    """Return the moments to look at: where vectors point, and evenly over the rest."""
    pointed = [(hit.video, hit.keyframe_s) for hit in footage.nearest[: LOOKS // 2]]
    per_video = max(1, (LOOKS - len(pointed)) // max(1, len(footage.watched)))
    even = [
        (item.video, item.span.start_s + (2 * idx + 1) * item.span.duration_s / (2 * per_video))
        for item in footage.watched[:LOOKS]
        for idx in range(per_video)
    ]
    return list(dict.fromkeys((*pointed, *even)))[:LOOKS]
