"""Subtitles: text tracks inside a file, and WebVTT or SubRip files beside it.

Decision: of several tracks the one that is marked as the default is taken, else the first, because
translations of one dialogue would be found twice. Pictures of letters (DVD, Blu-ray) are left out:
they would have to be read first.
"""

import codecs
import html
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.stream import Disposition
from av.subtitles.stream import SubtitleStream

from engine.errors import SoundOnlyError
from engine.media.decode import VideoDecoder
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits, open_sound, open_source
from engine.records import TimeSpan

CODECS: Final = frozenset({"subrip", "srt", "webvtt", "ass", "ssa", "mov_text", "text"})
ENDINGS: Final = (".vtt", ".srt")
MAX_CHARS: Final = 1000
"""Longest cue; a subtitle has two lines."""
MAX_CUES: Final = 100_000
_MAX_FILE_BYTES: Final = 16 << 20
_DEFAULT_LENGTH_S: Final = 3.0
"""Of a cue whose track does not say how long it stands."""

_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_TIMES = re.compile(
    r"((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})[ \t]+-->[ \t]+((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleCue:
    """One subtitle: plain text on one line."""

    span: TimeSpan
    text: str


def read_subtitles(
    uri: str, limits: MediaLimits, *, on_packet: Callable[[], None] | None = None
) -> tuple[SubtitleCue, ...]:
    """Return the cues of a file's text track in time order; none where it has no such track.

    Args:
        on_packet: Called for every packet, so that a watchdog sees life.
    Raises:
        LongwatchError: As `open_source`.
    """
    try:
        source = open_source(uri, limits)
    except SoundOnlyError:
        container, _ = open_sound(uri, limits)
        with container:
            first_s = (container.start_time or 0) / av.time_base
            return tuple(_cues(container, first_s, on_packet))
    with source:
        stream = _choose(source.container.streams.subtitles)
        if stream is None:
            return ()
        # Times count from the first frame, as those of pictures and sound do.
        first_s = VideoDecoder(source, limits, gap_s=SamplingConfig().gap_s).first_s
    with open_source(uri, limits) as source:
        return tuple(_cues(source.container, first_s, on_packet))


def subtitle_file(video: Path) -> Path | None:
    """Return the subtitles beside a video: `NAME.vtt`, `NAME.srt`, or `NAME.en.vtt`."""
    for ending in ENDINGS:
        same = video.with_suffix(ending)
        if same.is_file():
            return same
        # A glob would take brackets in a name for a pattern.
        names = (path for path in video.parent.iterdir() if path.suffix.lower() == ending)
        for path in sorted(names):
            language = path.stem.removeprefix(f"{video.stem}.")
            if language != path.stem and re.fullmatch(r"[A-Za-z]{2,3}(-\w{2,8})?", language):
                return path
    return None


def parse_subtitles(content: bytes) -> tuple[SubtitleCue, ...]:
    """Return the cues of a WebVTT or SubRip file in time order; what is no cue is left out."""
    text = _decoded(content[:_MAX_FILE_BYTES]).replace("\r\n", "\n").replace("\r", "\n")
    cues = []
    for block in re.split(r"\n[ \t]*\n", text):
        times = _TIMES.search(block)
        if times is None:
            continue
        start_s, end_s = map(_seconds, times.groups())
        words = block[times.end() :].partition("\n")[2]
        cue = _cue(start_s, end_s, words)
        if cue is not None:
            cues.append(cue)
    return tuple(sorted(cues, key=lambda cue: cue.span.start_s)[:MAX_CUES])


def _cues(
    container: InputContainer, first_s: float, on_packet: Callable[[], None] | None
) -> Iterator[SubtitleCue]:
    stream = _choose(container.streams.subtitles)
    if stream is None:
        return
    n_cues = 0
    for packet in container.demux(stream):
        if on_packet is not None:
            on_packet()
        if packet.pts is None or n_cues >= MAX_CUES:
            continue
        start_s = float(packet.pts * packet.time_base) - first_s
        length_s = float((packet.duration or 0) * packet.time_base) or _DEFAULT_LENGTH_S
        for subtitle in packet.decode():
            cue = _cue(start_s, start_s + length_s, _dialogue(subtitle))
            if cue is not None:
                n_cues += 1
                yield cue


def _choose(streams: tuple[SubtitleStream, ...]) -> SubtitleStream | None:
    texts = [stream for stream in streams if stream.codec_context.name in CODECS]
    marked = [stream for stream in texts if stream.disposition & Disposition.default]
    return next(iter(marked or texts), None)


def _dialogue(subtitle: object) -> str:
    content = getattr(subtitle, "dialogue", None) or getattr(subtitle, "text", None) or b""
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)


def _cue(start_s: float, end_s: float, text: str) -> SubtitleCue | None:
    plain = html.unescape(_TAG.sub("", text.replace("\\N", " ").replace("\\n", " ")))
    words = " ".join("".join(map(_printable, plain)).split())[:MAX_CHARS]
    if not words or not math.isfinite(start_s) or not start_s < end_s < math.inf or end_s <= 0:
        return None
    return SubtitleCue(span=TimeSpan(start_s=max(0.0, start_s), end_s=end_s), text=words)


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else " "


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # What older editors of SubRip files write.
        return content.decode("cp1252", "replace")


def _seconds(stamp: str) -> float:
    *hours, minutes, seconds = stamp.replace(",", ".").split(":")
    return int(hours[0] if hours else 0) * 3600 + int(minutes) * 60 + float(seconds)
