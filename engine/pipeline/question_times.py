"""The time that a question names: an end or a part of the footage, a second, or hours of the day.

An offset is told from a time of the day by its words: "0:20", "20 seconds" and "the first minute"
count from the first frame, "3 pm", "noon" and "o'clock" are of a clock. "16:58" may be either.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Edge = Literal["start", "end"]
Unit = Literal["s", "s_before_end", "share"]
Hours = tuple[str, str]
"""Two times of the day, as `22:00` and `06:00`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FootagePart:
    """A part of the footage that a question is about."""

    start: float = 0.0
    end: float = float("inf")
    unit: Unit = "s"
    """Seconds from the first frame, seconds before the end, or shares of the whole."""


_FOOTAGE: Final = r"(?:video|clip|film|recording|footage|movie|scene|day|tape)"
_ABOUT: Final = r"(?:(?:at|around|about|near|approximately|roughly|exactly|circa) )*"
_AT_START: Final = re.compile(
    r",? ?\b(?:(?:at|in|from) the (?:very )?(?:start|beginning|outset|first frame|first second)"
    r"(?: of the \w+)?|initially)\b"
)
_AT_END: Final = re.compile(
    r",? ?\b(?:(?:at|in|by|on|until) the (?:very )?(?:end|close|last frame|last second)"
    r"(?: of the \w+)?|finally)\b"
)
_N: Final = (
    r"(?:\d+(?:\.\d+)?|an?|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|few|half)"
)
_NUMBERS: Final = {
    "a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0,
    "seven": 7.0, "eight": 8.0, "nine": 9.0, "ten": 10.0, "twenty": 20.0, "thirty": 30.0,
    "few": 5.0, "half": 0.5,
}  # fmt: skip
_UNITS: Final = r"(?:s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)"
_LENGTH: Final = rf"(?P<n{{0}}>{_N}) ?(?:an? )?(?P<unit{{0}}>{_UNITS})\b"
_COLON: Final = r"(?:(?P<h{0}>\d{{1,2}}):)?(?P<m{0}>\d{{1,3}}):(?P<s{0}>\d{{2}}(?:\.\d+)?)\b"
_OFFSET: Final = (
    rf"(?:{_COLON}(?! ?[ap]\.?m\b)|(?:the )?(?:second (?P<second{{0}}>\d+(?:\.\d+)?)\b|"
    rf"(?P<nth{{0}}>\d+)(?:st|nd|rd|th) second\b|{_LENGTH})(?: mark\b)?)"
)
_INTO: Final = r"(?: (?:in\b(?! (?:the|a|an)\b)|into (?:the|this) \w+|into it|from the start))?"
_SPAN: Final = re.compile(
    rf",? ?\b(?:between|from) (?:{_OFFSET.format(1)}|(?P<bare>\d+(?:\.\d+)?)) ?"
    rf"(?:and|to|until|till|-|\u2013) ?{_OFFSET.format(2)}{_INTO}"
)
_AFTER: Final = re.compile(
    rf",? ?\b(?:after|since|from|past) (?:the )?(?:first )?{_OFFSET.format(1)}{_INTO}"
    r"(?: on| onwards?)?"
)
_BEFORE: Final = re.compile(
    rf",? ?\b(?:before|until|till|up to|within) (?:the )?(?:first )?{_OFFSET.format(1)}{_INTO}"
)
_FIRST: Final = re.compile(
    rf",? ?\b(?:in|during|within|for|over) the (?:very )?(?P<end>first|last|final) "
    rf"(?:{_LENGTH.format(1)}|(?P<lone>second|minute|hour)\b)(?: of (?:the |this )?\w+)?"
)
_HALF: Final = re.compile(
    rf",? ?\b(?:in|during) the (?P<which>first|second|last|other) half(?: of (?:the |this )?"
    rf"{_FOOTAGE})?\b"
)
_MIDDLE: Final = re.compile(
    rf",? ?\b(?:(?:half ?way|midway) (?:through|in)(?: (?:the|this) {_FOOTAGE})?|"
    rf"(?:in|at|around) the middle of (?:the |this )?{_FOOTAGE})\b"
)
_AT: Final = re.compile(rf",? ?\b{_ABOUT}{_OFFSET.format(1)}{_INTO}")
_IS_ABOUT: Final = re.compile(r"\b(?:around|about|near|approximately|roughly|circa)\b")
_SAYS_WHEN: Final = re.compile(r"^[, ]*(?:at|around|about|near|approximately|roughly|exactly)\b")
_TIME_OF_DAY: Final = (
    r"(?:(?P<hour_{0}>\d{{1,2}})(?:[:.](?P<minute_{0}>\d\d))? ?(?P<half_{0}>[ap]\.?m\b\.?)?|"
    r"(?P<word_{0}>noon|midday|midnight))"
)
_BETWEEN: Final = re.compile(
    rf",? ?\b(?:between|from) {_TIME_OF_DAY.format(1)} ?(?:o'clock )?(?:and|to|until|till|-) ?"
    rf"{_TIME_OF_DAY.format(2)}(?: ?o'clock)?(?! ?{_UNITS}\b)(?![\d:])"
)
_HOUR: Final = re.compile(
    r",? ?\b(?P<how>(?:at|around|about|near|after|since|before|until|till|by|past) )*"
    r"(?:(?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d))? ?(?:(?P<half>[ap]\.?m\b\.?)|o'clock\b)|"
    r"(?P<word>noon|midday|midnight)\b)"
)
PARTS_OF_DAY: Final[Mapping[str, Hours]] = {
    "morning": ("06:00", "12:00"),
    "afternoon": ("12:00", "18:00"),
    "evening": ("18:00", "22:00"),
    "night": ("22:00", "06:00"),
}
_IN_PART_OF_DAY: Final = re.compile(
    rf",? ?\b(?:(?:in|during) the (?P<part>{'|'.join(PARTS_OF_DAY)})|at night|overnight)\b"
)
_AROUND_MIN: Final = 30
"""Minutes on either side of "around noon"."""
_MINUTES_A_DAY: Final = 24 * 60


def cut_times(text: str) -> tuple[str, Edge | FootagePart | float | None, Hours | None]:
    """Return a question without the time that it names, and that time.

    Args:
        text: In lower case.
    Returns:
        What is left; the part of the footage or its second; hours of the day. Both are given
        where the words may mean either.
    """
    text, at, between = _cut_span(text)
    if at is not None or between is not None:
        return text, at, between
    for find in (_cut_hours, _cut_part, _cut_moment):
        left, at, between = find(text)
        # "At the start" alone is no question without it.
        if (at is not None or between is not None) and left:
            return left, at, between
    return text, None, None


_Found = tuple[str, Edge | FootagePart | float | None, Hours | None]


def _cut_span(text: str) -> _Found:
    """Find two times: "between 10 and 20 seconds", "from 22:00 to 6:00"."""
    match = _SPAN.search(text)
    at = None if match is None else _part_between(match)
    hours = _BETWEEN.search(text)
    between = None if hours is None else _hours_between(hours)
    if match is not None and at is not None:
        if hours is not None and hours.start() < match.start():
            match = None
        else:
            return cut(text, match), at, between if between and _is_day(between) else None
    if hours is None or between is None or not _is_day(between):
        return text, None, None
    return cut(text, hours), None, between


def _hours_between(match: re.Match[str]) -> Hours:
    first, last = _of_day(match, "_1"), _of_day(match, "_2")
    is_pm = last >= "13:00" and match["half_2"] and not match["half_1"] and match["hour_1"]
    later = _shifted(first, _MINUTES_A_DAY // 2)
    # "From 5 to 7 pm" is two hours, and "from 11 to 1 pm" is two.
    return (later, last) if is_pm and first < later < last else (first, last)


def _part_between(match: re.Match[str]) -> FootagePart | None:
    end_s = _offset_s(match, 2)
    if match["bare"] is not None:
        # "Between 1 and 2 minutes": the unit stands once.
        start_s = float(match["bare"]) * (_unit_s(match["unit2"]) if match["unit2"] else 1.0)
    else:
        start_s = _offset_s(match, 1)
    return FootagePart(start=start_s, end=end_s) if start_s < end_s else None


def _cut_hours(text: str) -> _Found:
    """Find one time of the day: "around noon", "after 10 pm", "in the morning"."""
    match = _IN_PART_OF_DAY.search(text)
    if match is not None:
        return cut(text, match), None, PARTS_OF_DAY[match["part"] or "night"]
    match = _HOUR.search(text)
    if match is None:
        return text, None, None
    time = _of_day(match)
    how = (match["how"] or "at").strip()
    if not _is_day((time, time)):
        return text, None, None
    return cut(text, match), None, _hours_of(how, time)


def _hours_of(how: str, time: str) -> Hours:
    if how in {"after", "since", "past"}:
        return time, "00:00"
    if how in {"before", "until", "till", "by"}:
        return "00:00", time
    return _shifted(time, -_AROUND_MIN), _shifted(time, _AROUND_MIN)


def _cut_part(text: str) -> _Found:
    """Find a part by its ends: "after 0:20", "in the last ten seconds", "in the second half"."""
    match = _FIRST.search(text)
    if match is not None:
        length_s = _unit_s(match["lone"]) if match["lone"] else _length_s(match, 1)
        is_end = match["end"] != "first"
        part = FootagePart(end=length_s, unit="s_before_end" if is_end else "s")
        return cut(text, match), part, None
    match = _HALF.search(text)
    if match is not None:
        is_first = match["which"] == "first"
        part = FootagePart(
            start=0.0 if is_first else 0.5, end=0.5 if is_first else 1.0, unit="share"
        )
        return cut(text, match), part, None
    match = _MIDDLE.search(text)
    if match is not None:
        return cut(text, match), FootagePart(start=0.4, end=0.6, unit="share"), None
    match = _AFTER.search(text)
    if match is not None:
        at_s = _offset_s(match, 1)
        return cut(text, match), FootagePart(start=at_s), _clock_of(match, "after")
    match = _BEFORE.search(text)
    if match is not None and _offset_s(match, 1) > 0:
        return cut(text, match), FootagePart(end=_offset_s(match, 1)), _clock_of(match, "before")
    return text, None, None


def _cut_moment(text: str) -> _Found:
    """Find an end of the footage or a second of it: "at the start", "at 0:10", "12 s in"."""
    edges: tuple[tuple[re.Pattern[str], Edge], ...] = ((_AT_START, "start"), (_AT_END, "end"))
    for pattern, edge in edges:
        match = pattern.search(text)
        if match is not None:
            return cut(text, match), edge, None
    for match in _AT.finditer(text):
        # "The 30 minute wait" and "for 5 seconds" are lengths, "the text 12:04" is to be found.
        if _is_moment(text, match):
            return cut(text, match), _offset_s(match, 1), _clock_of(match, "at")
    return text, None, None


def _is_moment(text: str, match: re.Match[str]) -> bool:
    before, words = text[: match.start()].split(), match.group()
    if _SAYS_WHEN.match(words) or re.search(r"\b(?:in|into \w+ \w+|mark|start)$", words):
        return True
    if match["unit1"] is None:
        return not text.startswith("when ")
    has_digits = words.strip(" ,")[:1].isdigit()
    return has_digits and not (
        before and before[-1] in {"for", "the", "a", "every", "than", "last"}
    )


def _clock_of(match: re.Match[str], how: str) -> Hours | None:
    """Return the hours that "at 16:58" means where it is no offset; `None` where it must be one."""
    if match["m1"] is None or "." in match["s1"]:
        return None
    hour, minute = (match["h1"], match["m1"]) if match["h1"] else (match["m1"], match["s1"])
    if int(hour) > 23 or int(minute) > 59:
        return None
    time = f"{int(hour):02d}:{int(minute):02d}"
    if how == "at" and not _IS_ABOUT.search(match.group()):
        return time, _shifted(time, 1)
    return _hours_of(how, time)


def _offset_s(match: re.Match[str], idx: int) -> float:
    if match[f"m{idx}"] is not None:
        hours, minutes, seconds = (float(match[f"{unit}{idx}"] or 0) for unit in "hms")
        return hours * 3600 + minutes * 60 + seconds
    second = match[f"second{idx}"] or match[f"nth{idx}"]
    return float(second) if second else _length_s(match, idx)


def _length_s(match: re.Match[str], idx: int) -> float:
    word = match[f"n{idx}"]
    return (_NUMBERS[word] if word in _NUMBERS else float(word)) * _unit_s(match[f"unit{idx}"])


def _unit_s(unit: str) -> float:
    return {"s": 1.0, "m": 60.0, "h": 3600.0}[unit[0]]


def _of_day(match: re.Match[str], ending: str = "") -> str:
    word = match[f"word{ending}"]
    if word is not None:
        return "00:00" if word == "midnight" else "12:00"
    hour, half = match[f"hour{ending}"], match[f"half{ending}"] or ""
    hours = int(hour) % 12 + 12 * (half[:1] == "p") if half else int(hour)
    return f"{hours:02d}:{int(match[f'minute{ending}'] or 0):02d}"


def _is_day(times: Hours) -> bool:
    return all(int(time[:-3]) < 24 and int(time[-2:]) < 60 for time in times)


def _shifted(time: str, minutes: int) -> str:
    total = (int(time[:2]) * 60 + int(time[3:]) + minutes) % _MINUTES_A_DAY
    return f"{total // 60:02d}:{total % 60:02d}"


def cut(text: str, match: re.Match[str]) -> str:
    """Return a question without what matched, and without what stood around it."""
    return " ".join((text[: match.start()] + " " + text[match.end() :]).split()).strip(" ,")
