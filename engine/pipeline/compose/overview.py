"""Summary and description: the rows of all kinds together."""

import re
from collections.abc import Sequence
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.naming import anything
from engine.pipeline.compose.order import by_label
from engine.pipeline.compose.presence import named
from engine.pipeline.compose.sentences import (
    article,
    counted,
    evidence_of,
    listed,
    plural,
    quote,
    seconds,
    sentence,
    stretch,
)
from engine.pipeline.compose.subjects import find_subject
from engine.pipeline.compose.visits import box_at, individuals, merge, most_at_once, place, proofs
from engine.pipeline.compose.witnesses import MOVERS, grade_rows
from engine.pipeline.compose.words import READS
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Evidence, Observation

MOST_LABELS: Final = 6
MOST_PRINT: Final = 3
MOST_PROOFS: Final = 8


def summarise(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Tell what is seen, read and heard, each with its times."""
    sentences: list[str] = []
    evidence: list[Evidence] = []
    for phrase, proof in (_things(footage), _print(footage), _speech(footage), _motion(footage)):
        if phrase:
            sentences.append(phrase)
            evidence += proof
    looks = anything(footage) if not _names_things(footage) else None
    if looks is not None and looks.verdict == "answered":
        sentences.append(looks.text.rstrip("."))
        evidence += looks.evidence
    if not sentences:
        return _empty(footage)
    text = " ".join(sentence(phrase) for phrase in sentences)
    lead = f"In {seconds(footage.duration_s)} of video: "
    return Composed(text=lead + text[:1].lower() + text[1:], evidence=tuple(evidence[:MOST_PROOFS]))


def describe(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Describe a thing by its looks and places, or the whole where none is named."""
    subject = find_subject(footage, form.subject) if form.subject else None
    if subject is None or not subject.thing.is_known:
        is_whole = subject is None or re.search(
            r"\b(?:video|clip|film|scene|picture|image|footage|recording|room|place|background|"
            r"everything|all|objects|things|items|there|here)\b",
            form.text,
        )
        return summarise(footage, form) if is_whole else None
    rows = subject.matching()
    if not rows:
        return None
    parts = []
    visits = individuals(rows)
    for visit in visits[:3]:
        best = max(visit.rows, key=lambda row: row.confidence)
        colours = listed(list(dict.fromkeys(best.colours))[:3])
        box = box_at(best, best.peak_s)
        looks = f", {colours}" if colours else ""
        spot = f", {place(box)} of the picture" if box else ""
        parts.append(f"{named(subject)}{looks}{spot}, {stretch(footage, visit.video, visit.span)}")
    more = f"; and {len(visits) - 3} more" if len(visits) > 3 else ""
    text = "; ".join(parts) + more + subject.caveat()
    return Composed(text=sentence(text), evidence=proofs(visits[:MOST_PROOFS]))


def things_told(rows: Sequence[Observation]) -> list[str]:
    """Return object rows in words, by label: `2 people`, `a dog`, `6 visits of people`."""
    phrase = []
    for label, group in list(by_label(rows).items())[:MOST_LABELS]:
        visits = individuals(group)
        count, _ = most_at_once(visits)
        if label in MOVERS and len(visits) > max(count, 1) + 1:
            phrase.append(f"{counted(len(visits), 'visit')} of {plural(label)}")
        else:
            phrase.append(_looks(label, group) if count <= 1 else counted(count, label))
    return phrase


def _looks(label: str, rows: Sequence[Observation]) -> str:
    """Return one thing with its colours: `a person in grey and black`, `a red car`."""
    if len(rows) != 1 or not rows[0].colours:
        return article(label)
    if label == "person":
        return f"a person in {listed(list(rows[0].colours))}"
    return article(f"{rows[0].colours[0]} {label}")


def _things(footage: WatchedFootage) -> tuple[str, list[Evidence]]:
    rows = grade_rows(footage, footage.of("object")).believed
    groups = by_label(rows)
    parts: list[str] = []
    evidence: list[Evidence] = []
    for phrase, group in zip(things_told(rows), groups.values(), strict=False):
        merged = merge(group)
        spans = listed([stretch(footage, visit.video, visit.span) for visit in merged], most=2)
        parts.append(f"{phrase} {spans}")
        evidence += proofs(merged[:2])
    return "; ".join(parts), evidence


def _names_things(footage: WatchedFootage) -> bool:
    """Return whether rows name anything but people."""
    rows = grade_rows(footage, footage.of("object")).believed
    return any(row.label != "person" for row in rows)


def _print(footage: WatchedFootage) -> tuple[str, list[Evidence]]:
    rows = [row for row in footage.of("text") if row.confidence >= READS and len(row.text) > 2]
    rows.sort(key=lambda row: -row.span.duration_s * row.confidence)
    chosen = sorted(rows[:MOST_PRINT], key=lambda row: row.span.start_s)
    parts = [
        f"{quote(row.text, most=60)} {stretch(footage, row.video, row.span)}" for row in chosen
    ]
    return (f"in print: {listed(parts)}" if parts else ""), [evidence_of([row]) for row in chosen]


def _speech(footage: WatchedFootage) -> tuple[str, list[Evidence]]:
    rows = footage.of("speech")
    if not rows:
        return "", []
    longest = max(rows, key=lambda row: len(row.text))
    chosen = list(dict.fromkeys((rows[0], longest)))
    quotes = listed([quote(row.text, most=100) for row in chosen])
    visits = merge(rows)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits], most=2)
    return f"speech {spans}: {quotes}", [evidence_of([row]) for row in chosen]


def _motion(footage: WatchedFootage) -> tuple[str, list[Evidence]]:
    if footage.of("object"):
        return "", []
    visits = merge(footage.of("motion"))
    if not visits:
        return "", []
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    return f"something moves {spans}", list(proofs(visits[:2]))


def _empty(footage: WatchedFootage) -> Composed | None:
    """Say that nothing was recognised where every observer has looked; else nothing."""
    if footage.has_reach("object") and footage.has_reach("motion"):
        text = f"nothing was recognised and nothing moved in {seconds(footage.duration_s)} of video"
        return Composed(text=sentence(text), verdict="unsure")
    return None
