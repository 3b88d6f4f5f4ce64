"""Wall clocks that files carry: in a recorder's header, in their names, in tags of the container.

A clock is returned without a zone where none is stated: the digits of a recorder's own clock. What
is not plainly a moment is no clock: a date that does not exist, a year before 1990 or after the
next one, the zero of an epoch.
"""

import functools
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from engine.media.chapters import is_gopro

RECORDER_TAG: Final = "recorder_time"
"""Tag that holds the clock of a recorder's header as ISO 8601."""
UTC_PREFIX: Final = "UTC:"
"""Stands before a pattern whose digits are UTC."""

NAME_PATTERNS: Final = (
    # Pixel phones, and names that say so by a Z.
    "UTC:PXL_%Y%m%d_%H%M%S%f",
    "UTC:%Y-%m-%dT%H-%M-%SZ",
    "UTC:%Y%m%dT%H%M%SZ",
    # Hikvision, Reolink, DJI; Android, BlackVue, Ring, Axis; OBS, Tesla, Thinkware; Viofo.
    "%Y%m%d%H%M%S",
    "%Y%m%d_%H%M%S",
    "%Y%m%d_%H%M%S%f",
    "%Y%m%d-%H%M%S",
    "%Y%m%d %H%M%S",
    "%Y%m%dT%H%M%S",
    "%Y%m%d_%H.%M.%S",
    "%Y%m%d_%H-%M-%S",
    "%Y-%m-%d_%H-%M-%S",
    "%Y-%m-%d_%H.%M.%S",
    "%Y-%m-%d_%H%M%S",
    "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d %H-%M-%S",
    "%Y-%m-%d %H.%M.%S",
    "%Y-%m-%dT%H-%M-%S",
    "%Y-%m-%dT%H.%M.%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y.%m.%d_%H.%M.%S",
    "%Y_%m_%d_%H_%M_%S",
    "%Y_%m%d_%H%M%S",
)
"""Dates and times in file names as recorders, phones and dashcams write them."""

_FIRST_YEAR: Final = 1990
_DIGITS: Final = {"Y": 4, "m": 2, "d": 2, "H": 2, "M": 2, "S": 2}
_REQUIRED: Final = frozenset(_DIGITS)
_NAME_PARTS: Final = {
    **{letter: rf"(?P<{letter}>\d{{{count}}})" for letter, count in _DIGITS.items()},
    "f": r"(?P<f>\d{1,6})",
    "%": "%",
}
# Zeros of the clocks of QuickTime, Matroska and others that lie within the years that count.
_ZEROS: Final = frozenset({datetime(2000, 1, 1), datetime(2001, 1, 1)})
# These write the moment of conversion, whatever the footage shows.
_CONVERTERS: Final = ("handbrake", "libmatroska", "adobe", "davinci", "final cut")
_TAG_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}")
_DHAV: Final = b"DHAV"


@functools.lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return a pattern for file names as a regular expression.

    Args:
        pattern: Text with `%Y %m %d %H %M %S`, each once, and `%f` for a fraction of a second;
            it stands anywhere in a name, but not amid further digits.
    Raises:
        ValueError: A directive is unknown, missing or there twice.
    """
    text = pattern.removeprefix(UTC_PREFIX)
    pieces = re.split(r"%(.?)", text)
    directives = pieces[1::2]
    if unknown := [letter for letter in directives if letter not in _NAME_PARTS]:
        raise ValueError(f"{pattern!r}: there is no %{unknown[0]}; use %Y %m %d %H %M %S and %f")
    counted = [letter for letter in directives if letter != "%"]
    if not set(counted) >= _REQUIRED or len(set(counted)) != len(counted):
        raise ValueError(f"{pattern!r} must hold %Y %m %d %H %M %S, each once")
    parts = [
        _NAME_PARTS[piece] if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    ]
    return re.compile(rf"(?<!\d){''.join(parts)}(?!\d)", re.ASCII | re.IGNORECASE)


def clock_of_name(name: str, patterns: Iterable[str]) -> datetime | None:
    """Return the first moment that a file name states; of a start and an end, the start.

    Args:
        patterns: As `compile_pattern` takes them; the first that fits counts.
    """
    for pattern in patterns:
        for match in compile_pattern(pattern).finditer(name):
            moment = _moment(match.groupdict())
            if moment is not None:
                return moment.replace(tzinfo=UTC) if pattern.startswith(UTC_PREFIX) else moment
    return None


def without_clock(name: str) -> str:
    """Return a file name with an asterisk for every date and time that the usual patterns find."""
    for pattern in NAME_PATTERNS:
        name = compile_pattern(pattern).sub("*", name)
    return name


def clock_of_tags(tags: Sequence[tuple[str, str]], name: str = "") -> datetime | None:
    """Return the moment that the tags of a container state.

    A tag with the zone of the place goes before `creation_time`, which phones write at the start
    or at the end of a recording, and converters when they convert: of those it is left out. A
    time code without a date is no clock.

    Args:
        name: Of the file: GoPro cameras write local digits as if they were UTC.
    """
    values = {key.lower(): value for key, value in reversed(tags)}
    for key in ("com.apple.quicktime.creationdate", "creation_time", "date"):
        moment = _tag_moment(values.get(key, ""))
        if moment is None or (key == "creation_time" and _is_converted(values)):
            continue
        if key == "creation_time" and (is_gopro(name) or _is_gopro_firmware(values)):
            return moment.replace(tzinfo=None)
        return moment
    return None


def clock_of_header(head: bytes) -> datetime | None:
    """Return the clock of the first frame of a DHAV file, as recorders of Dahua's make write them.

    Args:
        head: The first bytes of the file, 2 KB or more.
    Source: the date is one packed word, as `libavformat/dhav.c` reads it.
    """
    at = head.find(_DHAV)
    if at < 0 or len(head) < at + 20:
        return None
    (date,) = struct.unpack_from("<I", head, at + 16)
    fields = {
        "Y": 2000 + (date >> 26),
        "m": date >> 22 & 15,
        "d": date >> 17 & 31,
        "H": date >> 12 & 31,
        "M": date >> 6 & 63,
        "S": date & 63,
    }
    return _moment({key: str(value) for key, value in fields.items()})


def _moment(fields: Mapping[str, str | None]) -> datetime | None:
    year, month, day, hour, minute, second = (int(fields[key] or 0) for key in "YmdHMS")
    microsecond = int((fields.get("f") or "0").ljust(6, "0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:
        return None
    return moment if _is_plausible(moment) else None


def _is_plausible(moment: datetime) -> bool:
    is_zero = moment.replace(tzinfo=None) in _ZEROS
    return _FIRST_YEAR <= moment.year <= datetime.now(UTC).year + 1 and not is_zero


def _tag_moment(value: str) -> datetime | None:
    if not _TAG_TIME.match(value):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return moment if _is_plausible(moment) else None
    except (ValueError, OverflowError):
        return None


def _is_converted(values: Mapping[str, str]) -> bool:
    tools = " ".join(values.get(key, "") for key in ("encoder", "encoding_tool", "software"))
    return any(name in tools.lower() for name in _CONVERTERS)


def _is_gopro_firmware(values: Mapping[str, str]) -> bool:
    return re.match(r"(HD|H\d\d)\d*\.\d\d\.", values.get("firmware", "")) is not None
