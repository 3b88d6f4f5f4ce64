"""Times, counts and lists as plain English, and rows as evidence."""

from collections.abc import Sequence

from engine.pipeline.compose.footage import WatchedFootage
from engine.records import Evidence, Observation, TimeSpan, VideoId, moment_after

MOST_LISTED = 5
"""Moments that a sentence tells one by one: more are a table, which the evidence is."""

_IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice",
    "goose": "geese", "knife": "knives", "sheep": "sheep", "skis": "skis", "scissors": "scissors",
    "people": "people", "fish": "fish", "broccoli": "broccoli", "luggage": "luggage",
    **{word: word for word in (
        "coffee", "tea", "water", "food", "bread", "snow", "grass", "smoke", "rain", "fog", "mist",
        "ice", "sand", "dust", "mud", "blood", "hair", "furniture", "rubbish", "garbage", "trash",
        "money", "music", "paper", "wood", "lightning", "sunlight", "weather", "milk", "wine",
        "beer", "rice", "cheese", "meat", "fruit", "sugar", "salt",
    )},
    "policeman": "policemen", "clothes": "clothes", "traffic": "traffic", "anyone": "people",
    "anybody": "people", "someone": "people", "somebody": "people", "nobody": "people",
}  # fmt: skip


def clock(time_s: float) -> str:
    """Return media time as `1:33`, or `1:02:03` beyond an hour."""
    minutes, seconds = divmod(max(0, int(time_s + 0.5)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def moment(footage: WatchedFootage, video: VideoId, time_s: float) -> str:
    """Return a moment: `1:33`, with the time of day and the video's name where they help."""
    item = footage.first_span(video)
    text = clock(time_s)
    if item is not None and item.start_at is not None:
        text += f" ({moment_after(item.start_at, time_s):%H:%M:%S})"
    return text if footage.is_one_video else f"{text} in {footage.name(video)}"


def stretch(footage: WatchedFootage, video: VideoId, span: TimeSpan) -> str:
    """Return a span: `from 1:33 to 1:59`, or `at 1:33` where it is shorter than a second."""
    if clock(span.start_s) == clock(span.end_s):
        return f"at {moment(footage, video, span.start_s)}"
    first = clock(span.start_s)
    item = footage.first_span(video)
    if item is not None and item.start_at is not None:
        first += f" ({moment_after(item.start_at, span.start_s):%H:%M:%S})"
    return f"from {first} to {moment(footage, video, span.end_s)}"


def listed(parts: Sequence[str], *, most: int = MOST_LISTED) -> str:
    """Return parts as one list: `a, b and c`, or `a, b and 3 more`."""
    shown = list(parts[:most]) if len(parts) > most + 1 else list(parts)
    if len(shown) < len(parts):
        shown.append(f"{len(parts) - len(shown)} more")
    return " and ".join(part for part in (", ".join(shown[:-1]), *shown[-1:]) if part)


def plural(noun: str) -> str:
    """Return a noun in the plural."""
    before, _, last = noun.rpartition(" ")
    lead = f"{before} " if before else ""
    if last in _IRREGULAR:
        return lead + _IRREGULAR[last]
    if last.endswith("s") and not last.endswith("ss") and last not in {"bus", "gas"}:
        return noun
    if last.endswith(("s", "x", "ch", "sh")):
        return lead + last + "es"
    if last.endswith("y") and last[-2:-1] not in set("aeiou"):
        return lead + last[:-1] + "ies"
    return lead + last + "s"


def counted(count: int, noun: str) -> str:
    """Return a number of things: `1 car`, `6 visits`, `no people`."""
    if count == 1:
        return f"1 {noun if noun not in _IRREGULAR or _IRREGULAR[noun] != 'people' else 'person'}"
    return f"{count or 'no'} {plural(noun)}"


def article(noun: str) -> str:
    """Return a noun with its indefinite article; plurals have none, and anyone is a person."""
    if noun != "people" and _IRREGULAR.get(noun) == "people":
        return "a person"
    if plural(noun) == noun:
        return noun
    has_vowel = noun[:1] in set("aeiou") and not noun.startswith(("uni", "eu", "one", "use"))
    return f"{'an' if has_vowel else 'a'} {noun}"


def was(noun: str) -> str:
    """Return the verb that a noun takes: "were" after a plural."""
    is_plural = plural(noun) == noun and (noun.endswith("s") or noun == "people")
    return "were" if is_plural else "was"


def seconds(duration_s: float) -> str:
    """Return a duration in words: `26 seconds`, `2 minutes 5 seconds`, `1 hour 3 minutes`."""
    total = max(1, int(duration_s + 0.5))
    hours, rest = divmod(total, 3600)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "hour"), (minutes, "minute"), (0 if hours else left, "second"))
    return " ".join(counted(count, unit) for count, unit in parts if count)


def note_of(row: Observation) -> str:
    """Return a row as a note: `person 0:06-0:19`, `print "EXIT" 0:01-0:09`."""
    span = f"{clock(row.span.start_s)}-{clock(row.span.end_s)}"
    if row.kind == "text":
        return f'print "{row.text[:60]}" {span}'
    if row.kind == "speech":
        return f'speech "{row.text[:80]}" {span}'
    return f"{' '.join((*row.colours[:1], row.label))} {span}"


def quote(text: str, *, most: int = 300) -> str:
    """Return words in quotation marks, cut at a word where they are long."""
    flat = " ".join(text.split())
    if len(flat) > most:
        flat = flat[:most].rsplit(" ", 1)[0] + " ..."
    return f"\u201c{flat}\u201d"


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    text = text.strip()
    end = "" if text.endswith((".", "!", "?", ".\u201d", "!\u201d", "?\u201d")) else "."
    return text[:1].upper() + text[1:] + end


def evidence_of(rows: Sequence[Observation], *, span: TimeSpan | None = None) -> Evidence:
    """Return rows of one video as one piece of evidence, shown by the surest of them.

    Args:
        rows: At least one.
        span: What they prove together; the hull of their spans when `None`.
    """
    best = max(rows, key=lambda row: row.confidence)
    hull = span or TimeSpan(
        start_s=min(row.span.start_s for row in rows), end_s=max(row.span.end_s for row in rows)
    )
    return Evidence(
        video=best.video,
        span=hull,
        score=min(1.0, max(0.0, best.confidence)),
        origin="observation",
        keyframe_s=best.peak_s if hull.contains(best.peak_s) else hull.start_s,
        observations=tuple(rows),
    )


def evidence_at(video: VideoId, time_s: float, *, score: float = 0.5) -> Evidence:
    """Return a still as a piece of evidence: a second around it."""
    return Evidence(
        video=video,
        span=TimeSpan(start_s=max(0.0, time_s - 0.5), end_s=time_s + 0.5),
        score=min(1.0, max(0.0, score)),
        origin="observation",
        keyframe_s=time_s,
    )
