"""Quotations of speech and print, chosen by words, meaning, place and moment."""

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Final

from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.sentences import (
    counted,
    evidence_of,
    listed,
    quote,
    seconds,
    sentence,
    stretch,
)
from engine.pipeline.compose.visits import area, centre, merge
from engine.pipeline.question_kinds import QuestionForm
from engine.records import Box, Observation
from engine.sight.word_groups import word_set

READS: Final = 0.6
"""Confidence below which print is not quoted: of a 320 x 240 camera clock one or two digits were
off at 0.9 and more, so that what is lower is no reading at all."""
ON_TOPIC: Final = 0.4
"""Nearness of a question and a spoken sentence from which it is quoted: MiniLM gave the right
sentence of twelve at its first place for eight, at 0.4 to 0.7."""
ON_SOUND: Final = 0.2
"""The same where there is no picture that the question could be about."""
ON_WORDS: Final = 0.2
"""The same without a model of meaning: two of five words of the question are in the sentence."""
NUMBER_BONUS: Final = 0.2
"""For a sentence with a number, of a question for one: as much as two of five words shared."""
MOST_QUOTED: Final = 3
_STOP: Final = word_set(
    """a an and are about any anybody anyone as at be been by can did do does for from had has have
    he her him his how i if in is it its me my of on one or our out said say says saying she so some
    somebody speak speaking speaks spoken talk talks talking tell than that the their them there
    they this those to up was we were what when where which who whom whose why will with word words
    would you your mention mentioned heard hear person speaker asked ask asks according name"""
)
_QUANTITY: Final = re.compile(
    r"\bhow (?:many|much|heavy|long|far|old|tall|high|fast|big|large|deep|wide|often|late)\b|"
    r"\bwhat (?:number|year|price|age|percentage|temperature|time|date)\b"
)
_NUMBER: Final = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|"
    r"eigh|nine)teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|"
    r"billion|half|percent)\b",
    re.IGNORECASE,
)
_DIGITS: Final = re.compile(r"\d")
_ASKS_FOR_DIGITS: Final = re.compile(
    r"\b(?:number|digits?|score|price|temperature|speed|plate|resolution|date)\b"
)
_HANDLED: Final = re.compile(r"\b(?:put|placed|taken|moved|removed|picked|added|pressed)\b")
"""Letters and cards that somebody handles: print says what stands there, not who put it."""
_ASKS_FOR_PRINT: Final = re.compile(r"\b(?:text|words?|title|caption|sign|print|writing)\b")
_CLOCK: Final = re.compile(r"\d{1,2}[:.]\d{2}")


def said(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer who or what is heard: a quotation, the times of speech, or that there is none."""
    rows = footage.of("speech")
    if not rows:
        if not footage.has_reach("speech"):
            return None
        searched = seconds(footage.duration_s)
        return Composed(text=sentence(f"no: no speech was recognised in {searched} of video"))
    topic = form.quoted or form.subject
    if not _content(topic) and not _content(form.text):
        if re.match(r"^(?:what|which|whom)", form.text):
            return _quotation(footage, rows[:MOST_QUOTED], more=len(rows) - MOST_QUOTED)
        visits = merge(rows)
        spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
        first = quote(rows[0].text, most=80)
        yes = "" if form.text.startswith("who") else "yes: "
        return Composed(
            text=sentence(f"{yes}speech {spans}, beginning {first}"),
            evidence=tuple(evidence_of(visit.rows, span=visit.span) for visit in visits),
        )
    best = nearest_speech(footage, form, rows)
    if best is None and len(rows) <= MOST_QUOTED and not re.search(r"\babout\b", form.text):
        # Of so few sentences all are told.
        best = tuple(rows)
    return None if best is None else _quotation(footage, best)


def quote_speech(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer any question from speech that comes near it in words and meaning."""
    rows = footage.of("speech")
    if not rows:
        return None
    # Where nothing is to be seen, what is asked about is said.
    is_sound = not footage.has_reach("object") and not footage.has_reach("motion")
    best = nearest_speech(footage, form, rows, least=ON_SOUND if is_sound else ON_TOPIC)
    return None if best is None else _quotation(footage, best)


def nearest_speech(
    footage: WatchedFootage,
    form: QuestionForm,
    rows: Sequence[Observation],
    *,
    least: float = ON_TOPIC,
) -> tuple[Observation, ...] | None:
    """Return the row that comes nearest to a question, or the one before or after it.

    Args:
        footage: With its model of meaning.
        form: The question.
        rows: Of speech.
        least: Nearness from which a row is about the question, where there is such a model.
    """
    wanted = _content(form.quoted or form.text)
    near = footage.look.likeness(form.text, [row.text for row in rows])
    wants_number = _QUANTITY.search(form.text) is not None
    scores = [
        (near[idx] if near else 0.0)
        + 0.5 * _shared(wanted, _content(row.text))
        + NUMBER_BONUS * (wants_number and _NUMBER.search(row.text) is not None)
        for idx, row in enumerate(rows)
    ]
    idx = max(range(len(rows)), key=scores.__getitem__)
    if scores[idx] < (least if near else ON_WORDS):
        return None
    if re.search(r"\b(?:after|next)\b", form.text) and idx + 1 < len(rows):
        return (rows[idx], rows[idx + 1])
    if re.search(r"\bbefore\b", form.text) and idx:
        return (rows[idx - 1], rows[idx])
    return (rows[idx],)


def read(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer what is written: the print that suits the question's words, place and moment."""
    if _HANDLED.search(form.text):
        return None
    rows = [row for row in footage.of("text") if row.confidence >= READS]
    suiting = [row for row in rows if _suits(row.text, form)]
    rows = _placed(suiting, form.text) or suiting
    if form.quoted:
        rows = [row for row in rows if resembles(row.text, form.quoted)] or rows
    if not rows:
        return None
    if form.at == "end":
        anchor = max(rows, key=lambda row: (row.span.end_s, row.span.start_s, _weight(row)))
    elif isinstance(form.at, float):
        at_s = form.at
        anchor = max(rows, key=lambda row: (row.span.contains(at_s), _weight(row)))
    else:
        anchor = max(rows, key=_weight)
    together = in_reading_order(
        [row for row in rows if row.video == anchor.video and _is_beside(row, anchor)]
    )
    words = " ".join(dict.fromkeys(row.text for row in together))
    span = stretch(footage, anchor.video, anchor.span)
    # Of one moment no other print is told.
    others = [] if form.is_about_a_moment else [row for row in rows if row not in together]
    quotes = listed([quote(row.text, most=60) for row in others[:MOST_QUOTED]])
    more = f"; also {quotes}" if others else ""
    text = f"it reads {quote(words)} {span}{more}"
    proofs = (evidence_of(together, span=anchor.span), *(evidence_of([row]) for row in others))
    return Composed(text=sentence(text), evidence=proofs[: MOST_QUOTED + 1])


def in_reading_order(rows: Sequence[Observation]) -> list[Observation]:
    """Return print line by line from the top, each line from the left."""
    lines: list[list[Observation]] = []
    boxed = [row for row in rows if row.boxes]
    for row in sorted(boxed, key=lambda row: centre(row.boxes[0])[1]):
        last = lines[-1][-1].boxes[0] if lines else None
        # A line goes on where the middle of the next piece lies within its height.
        if last is not None and last.top <= centre(row.boxes[0])[1] <= last.bottom:
            lines[-1].append(row)
        else:
            lines.append([row])
    ordered = [row for line in lines for row in sorted(line, key=lambda row: row.boxes[0].left)]
    return [*ordered, *(row for row in rows if not row.boxes)]


def when_read(footage: WatchedFootage, form: QuestionForm) -> Composed | None:
    """Answer when words stand in the picture, or are said."""
    rows = [row for row in footage.of("text") if resembles(row.text, form.quoted)]
    spoken = [row for row in footage.of("speech") if resembles(row.text, form.quoted)]
    matching = rows or spoken
    if not matching:
        is_print = _ASKS_FOR_PRINT.search(form.text) is not None
        text = f"{quote(form.quoted)} was neither read nor heard here"
        return Composed(text=sentence(text), verdict="unknown") if is_print else None
    visits = merge(matching)
    spans = listed([stretch(footage, visit.video, visit.span) for visit in visits])
    verb = "is read" if rows else "is said"
    lead = f"{counted(len(visits), 'time')}: " if form.kind == "how_often" else ""
    text = f"{lead}{quote(matching[0].text, most=120)} {verb} {spans}"
    return Composed(
        text=sentence(text),
        evidence=tuple(evidence_of(visit.rows, span=visit.span) for visit in visits),
    )


def resembles(text: str, wanted: str) -> bool:
    """Return whether a text holds words, give or take a few letters that were misread."""
    flat, sought = _flat(text), _flat(wanted)
    if not sought:
        return False
    if sought in flat:
        return True
    matcher = SequenceMatcher(None, flat, sought, autojunk=False)
    # Three letters of four in order: "PETESTR A G" is not yet PEDESTRIAN ALARM.
    return sum(block.size for block in matcher.get_matching_blocks()) >= 0.8 * len(sought) and (
        len(flat) <= 2 * len(sought)
    )


def _quotation(footage: WatchedFootage, rows: Sequence[Observation], *, more: int = 0) -> Composed:
    parts = [f"{quote(row.text)} ({stretch(footage, row.video, row.span)})" for row in rows]
    text = " ".join(parts) + (f", and {more} sentences more" if more > 0 else "")
    return Composed(text=sentence(text), evidence=tuple(evidence_of([row]) for row in rows))


def _suits(text: str, form: QuestionForm) -> bool:
    """Return whether print is of the kind that was asked for."""
    if re.search(r"\b(?:timecode|time\s?stamp|clock|timer|watch)\b", form.text):
        return _CLOCK.search(text) is not None
    if _ASKS_FOR_DIGITS.search(form.text):
        return _DIGITS.search(text) is not None
    if re.search(r"\bletters?\b|\bwords?\b|\btitle\b|\bname\b", form.text):
        return re.search(r"[^\W\d_]", text) is not None
    return True


def _placed(rows: Sequence[Observation], question: str) -> list[Observation]:
    """Return the rows in the named part of the picture; none where no part is named."""
    tests: dict[str, Callable[[float, float], bool]] = {
        r"\b(?:top|upper|above)\b": lambda x, y: y < 0.4,
        r"\b(?:bottom|lower|below)\b": lambda x, y: y > 0.6,
        r"\bleft\b": lambda x, y: x < 0.4,
        r"\bright\b": lambda x, y: x > 0.6,
        r"\b(?:middle|centre|center)\b": lambda x, y: 0.3 < x < 0.7 and 0.25 < y < 0.75,
    }
    named = [test for words, test in tests.items() if re.search(words, question)]
    return [
        row
        for row in rows
        if named and row.boxes and all(test(*centre(row.boxes[0])) for test in named)
    ]


def _weight(row: Observation) -> float:
    """Return how much a piece of print stands out: by size, for as long as it stands."""
    size = max((area(box) for box in row.boxes), default=0.01)
    return size * min(row.span.duration_s + 1.0, 10.0) * row.confidence


def _is_beside(row: Observation, anchor: Observation) -> bool:
    """Return whether print stands with the anchor: at its time, in a size like its own."""
    if row is anchor:
        return True
    if row.span.overlap_s(anchor.span) <= 0 or not row.boxes or not anchor.boxes:
        return False
    own, other = _height(row.boxes[0]), _height(anchor.boxes[0])
    return own > 0.5 * other


def _height(box: Box) -> float:
    return box.bottom - box.top


def _content(text: str) -> frozenset[str]:
    return frozenset(
        _stem(word) for word in re.findall(r"[\w']+", text.lower()) if word not in _STOP
    )


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _shared(wanted: frozenset[str], words: frozenset[str]) -> float:
    return len(wanted & words) / len(wanted) if wanted else 0.0


def _flat(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())
