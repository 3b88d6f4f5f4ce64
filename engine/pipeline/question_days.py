"""Days that a question names, "yesterday evening" or "on 3 March", as times of a local clock."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Final

from engine.pipeline.question_times import PARTS_OF_DAY, cut

Stretch = tuple[datetime, datetime]
"""Beginning and end, not included, without a zone: as a clock on the wall shows them."""

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS: Final = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_MONTH: Final = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_OF_DAY: Final = rf"(?: (?P<of_day>{'|'.join(PARTS_OF_DAY)}))?"
_RELATIVE: Final = (
    r"(?:the )?day before yesterday|yesterday|today|last (?:night|weekend)|tonight|"
    r"this (?:morning|afternoon|evening)|(?P<which>this|last) (?P<unit>week|month|year)"
)
_DATED: Final = (
    r"(?P<iso>\d{4}-\d\d-\d\d)|"
    rf"(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month>{_MONTH})"
    r"(?:,? (?P<year>\d{4}))?|"
    # "May 2 people come in?" is no day.
    rf"(?<!^)(?P<month_>{_MONTH}) (?:the )?(?P<day_>\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])"
    r"(?:,? (?P<year_>\d{4}))?"
)
_NAMED: Final = re.compile(
    rf",? ?\b(?:{_RELATIVE}|(?:on |(?P<last>last )|this )(?P<weekday>{'|'.join(_WEEKDAYS)})|"
    rf"(?:on )?(?:{_DATED}))\b{_OF_DAY}"
)


def cut_day(text: str) -> tuple[str, str]:
    """Return a question without the day that it names, and the day's words.

    Args:
        text: In lower case. It stays whole where nothing else would be left of it.
    """
    match = _NAMED.search(text)
    if match is None:
        return text, ""
    left = cut(text, match)
    return (left, match.group().strip(" ,")) if left else (text, "")


def find_day(words: str, now: datetime) -> Stretch | None:
    """Return the stretch of time that the words for a day mean.

    A weekday, and a date without a year, is the latest that has begun.

    Args:
        words: As `cut_day` returns them.
        now: On the clock by which they are said, without a zone.
    Returns:
        `None` where there is no such day, as on 30 February.
    """
    match = _NAMED.fullmatch(words)
    if match is None:
        return None
    try:
        first, end = _days(match, now.date())
    except ValueError:
        return None
    part = match["of_day"] or _part_of(words)
    if part is None:
        return _midnight(first), _midnight(end)
    begins_at, ends_at = (
        datetime.combine(first, time.fromisoformat(at)) for at in PARTS_OF_DAY[part]
    )
    return begins_at, ends_at if begins_at < ends_at else ends_at + timedelta(days=1)


def _days(match: re.Match[str], today: date) -> tuple[date, date]:
    """Return the first day, and the one behind the last."""
    if match["unit"]:
        return _period(match["unit"], today, is_last=match["which"] == "last")
    words = match.group().strip(" ,")
    if match["weekday"]:
        back = (today.weekday() - _WEEKDAYS.index(match["weekday"])) % 7
        first = today - timedelta(days=back or (7 if match["last"] else 0))
    elif words == "last weekend":
        first = today - timedelta(days=(today.weekday() - 5) % 7 or 7)
        first = first if first + timedelta(days=2) <= today else first - timedelta(days=7)
        return first, first + timedelta(days=2)
    elif match["iso"]:
        first = date.fromisoformat(match["iso"])
    elif match["month"] or match["month_"]:
        first = _dated(match, today)
    else:
        back = 2 if "before" in words else int(words.startswith(("yesterday", "last night")))
        first = today - timedelta(days=back)
    return first, first + timedelta(days=1)


def _period(unit: str, today: date, *, is_last: bool) -> tuple[date, date]:
    step: Callable[[date], date]
    if unit == "week":
        first, step = today - timedelta(days=today.weekday()), lambda day: day - timedelta(days=7)
    elif unit == "month":
        first, step = today.replace(day=1), lambda day: (day - timedelta(days=1)).replace(day=1)
    else:
        first, step = date(today.year, 1, 1), lambda day: date(day.year - 1, 1, 1)
    return (step(first), first) if is_last else (first, today + timedelta(days=1))


def _dated(match: re.Match[str], today: date) -> date:
    name = match["month"] or match["month_"]
    month = next(idx for idx, whole in enumerate(_MONTHS, 1) if whole.startswith(name[:3]))
    day, year = int(match["day"] or match["day_"]), match["year"] or match["year_"]
    if year:
        return date(int(year), month, day)
    # 29 February was in one of the last eight years.
    for back in range(9):
        try:
            first = date(today.year - back, month, day)
        except ValueError:
            continue
        if first <= today:
            return first
    raise ValueError(f"{name} has no day {day}")


def _part_of(words: str) -> str | None:
    if words == "tonight":
        return "night"
    return next((part for part in PARTS_OF_DAY if words.endswith(f" {part}")), None)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
