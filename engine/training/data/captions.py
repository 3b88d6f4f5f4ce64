"""Captions from files: JSON lines `{"video", "start_s", "end_s", "text"}`, or WebVTT.

JSON lines are also how captions are kept while they are written, one flushed to the disk after
the other: a run that is killed asks for none of them again.
"""

import contextlib
import html
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from engine.errors import InputRefusedError, NotFoundError
from engine.records import TimeSpan
from engine.training.data.clips import ClipCaption
from engine.training.data.samples import BadSample

_CUE = re.compile(r"((?:\d+:)?\d\d:\d\d\.\d{3})\s+-->\s+((?:\d+:)?\d\d:\d\d\.\d{3})")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionFile:
    """The captions of several files by video, in time order."""

    captions: Mapping[str, tuple[ClipCaption, ...]]
    bad: tuple[BadSample, ...]


def read_captions(paths: Sequence[Path], videos: Sequence[str], *, clip_s: float) -> CaptionFile:
    """Read captions of some videos and gather them into clips.

    Args:
        paths: `.jsonl`, or `.vtt` named as its video; with one video any name will do.
        videos: Their names relative to the media folder; lines may also hold the file's name
            alone, or that without its ending.
        clip_s: Captions whose middle lies in one clip are joined, and keep their own times.
    Raises:
        NotFoundError: No such file.
        InputRefusedError: Not text, or a WebVTT file of no video.
    """
    captions: dict[str, list[tuple[TimeSpan, str]]] = defaultdict(list)
    bad: list[BadSample] = []
    for path in paths:
        for location, entry in _entries(path, videos):
            try:
                video, span, text = _parsed(entry, videos)
            except ValueError as error:
                bad.append(BadSample(location=location, reason=str(error)))
            else:
                captions[video].append((span, text))
    return CaptionFile(
        captions={video: _gathered(items, clip_s) for video, items in sorted(captions.items())},
        bad=tuple(bad),
    )


class CaptionLog:
    """The captions of a run, kept line by line; lines of other files or models are left alone."""

    def __init__(self, path: Path, key: str) -> None:
        """Open or begin a log.

        Args:
            key: Of what writes the captions; those under another key do not count.
        """
        self._path, self._key = path, key
        self._captions: dict[str, dict[float, ClipCaption]] = defaultdict(dict)
        self._finished: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._mend()

    def captions(self, identity: str) -> tuple[ClipCaption, ...]:
        """Return the captions kept of a video, in time order.

        Args:
            identity: Of the video's content, so that another file of its name is not it.
        """
        by_start = self._captions[identity]
        return tuple(by_start[start_s] for start_s in sorted(by_start))

    def is_finished(self, identity: str) -> bool:
        """Say whether the last clip of a video has its caption."""
        return identity in self._finished

    def add(self, video: str, identity: str, caption: ClipCaption) -> None:
        """Keep a caption; it is on the disk when this returns."""
        self._captions[identity][caption.span.start_s] = caption
        self._append(
            video=video,
            start_s=caption.span.start_s,
            end_s=caption.span.end_s,
            text=caption.text,
            last_s=caption.last_s,
            identity=identity,
        )

    def finish(self, video: str, identity: str) -> None:
        """Note that a video has no further clip."""
        self._finished.add(identity)
        self._append(video=video, clips=len(self._captions[identity]), identity=identity)

    def _append(self, **line: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "key": self._key}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _mend(self) -> None:
        """Read the lines there are, and cut off a last line that a kill left unfinished."""
        if not self._path.is_file():
            return
        text = self._path.read_bytes()
        complete = text[: text.rfind(b"\n") + 1]
        if len(complete) < len(text):
            with self._path.open("r+b") as file:
                file.truncate(len(complete))
        for line in complete.splitlines():
            # Lines that were not written here count for nothing.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        if line["key"] != self._key:
            return
        if "clips" in line:
            self._finished.add(line["identity"])
            return
        span = TimeSpan(start_s=line["start_s"], end_s=line["end_s"])
        self._captions[line["identity"]][span.start_s] = ClipCaption(
            span=span, text=line["text"], last_s=line["last_s"]
        )


def _entries(path: Path, videos: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield location and content of every caption of a file."""
    if not path.is_file():
        raise NotFoundError(f"there is no captions file {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputRefusedError(f"{path} is not text in UTF-8") from error
    if path.suffix.lower() == ".vtt":
        yield from _cues(path, text, videos)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                entry = json.loads(line)
            except ValueError as error:
                entry = error
            # Kept by `CaptionLog`: a video's end, which is no caption.
            if not (isinstance(entry, dict) and "clips" in entry):
                yield f"{path.name}, line {number}", entry


def _cues(path: Path, text: str, videos: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if not text.startswith("WEBVTT"):
        raise InputRefusedError(f"{path} is not WebVTT: its first line must be WEBVTT")
    video = videos[0] if len(videos) == 1 else path.stem
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        times = _CUE.match(line.strip())
        if times is None:
            continue
        words = []
        for following in lines[number:]:
            if not following.strip():
                break
            words.append(html.unescape(_TAG.sub("", following)).strip())
        start_s, end_s = (_seconds(times[group]) for group in (1, 2))
        entry = {"video": video, "start_s": start_s, "end_s": end_s, "text": " ".join(words)}
        yield f"{path.name}, line {number}", entry


def _seconds(clock: str) -> float:
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _parsed(entry: Any, videos: Sequence[str]) -> tuple[str, TimeSpan, str]:
    """Parse video, times and words of one caption.

    Raises:
        ValueError: Says what is wrong with it.
    """
    if isinstance(entry, ValueError):
        raise ValueError(f"not JSON ({entry})")
    if not isinstance(entry, dict):
        raise ValueError("not an object")
    start_s, end_s, text = (entry.get(name) for name in ("start_s", "end_s", "text"))
    for name, time_s in (("start_s", start_s), ("end_s", end_s)):
        if isinstance(time_s, bool) or not isinstance(time_s, int | float):
            raise ValueError(f"{name} must be seconds, not {time_s!r}")
    assert isinstance(start_s, int | float)
    assert isinstance(end_s, int | float)
    if not 0 <= start_s < end_s < float("inf"):
        raise ValueError(f"it must end after it starts: {start_s} to {end_s}")
    if not isinstance(text, str):
        raise ValueError("it has no text")
    span = TimeSpan(start_s=float(start_s), end_s=float(end_s))
    return _matching(entry.get("video"), videos), span, " ".join(text.split())


def _matching(name: Any, videos: Sequence[str]) -> str:
    if not isinstance(name, str):
        raise ValueError("it names no video")
    if name in videos:
        return name
    for names in ([PurePosixPath(video).name for video in videos],
                  [PurePosixPath(video).stem for video in videos]):  # fmt: skip
        alike = [video for video, short in zip(videos, names, strict=True) if short == name]
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise ValueError(f"{name} may be {' or '.join(alike)}")
    raise ValueError(f"there is no video {name}")


def _gathered(captions: Sequence[tuple[TimeSpan, str]], clip_s: float) -> tuple[ClipCaption, ...]:
    """Gather captions by clip, in time order; the text of one clip is joined."""

    def clip_of(item: tuple[TimeSpan, str]) -> int:
        span, _ = item
        return int((span.start_s + span.end_s) / 2 // clip_s)

    # What lasts longer than a clip must not swallow captions of its parts, nor be joined to one.
    spans = [span for span, _ in captions]
    spanning = {span for span in _spanning(spans) if span.duration_s > clip_s}
    kept = sorted(
        (item for item in captions if item[0] not in spanning),
        key=lambda item: (clip_of(item), item),
    )
    clips = []
    for _, members in groupby(kept, key=clip_of):
        parts, texts = zip(*members, strict=True)
        hull = TimeSpan(
            start_s=min(part.start_s for part in parts), end_s=max(part.end_s for part in parts)
        )
        text = " ".join(dict.fromkeys(text for text in texts if text))
        clips.append(ClipCaption(span=hull, text=text))
    unclear = _spanning([clip.span for clip in clips])
    return tuple(
        sorted((clip for clip in clips if clip.span not in unclear), key=lambda clip: clip.span)
    )


def _spanning(spans: Sequence[TimeSpan]) -> set[TimeSpan]:
    """Return spans that hold most of a shorter one: which of the two came first is left open."""
    ordered = sorted(spans)
    spanning: set[TimeSpan] = set()
    for idx, span in enumerate(ordered):
        for later in ordered[idx + 1 :]:
            if later.start_s >= span.end_s:
                break
            short, long = sorted((span, later), key=lambda pair: pair.duration_s)
            if 2 * short.overlap_s(long) > short.duration_s:
                spanning.add(long)
    return spanning
