"""Print in the picture: OCR of frames that changed, within a budget; one row while it stands.

Decision: a budget of frames a minute and not every change, because a frame costs half a second of
one core and most footage changes all the time. A short clip is read whole; in a long one, while
nothing is found, frames are read less and less often, down to a quarter of the budget.
Source: PP-OCR (arXiv:2009.09941) as packaged by RapidOCR, weights in its wheel (Apache-2.0).
"""

import difflib
import importlib.metadata
import importlib.util
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import UInt8

from engine.errors import MissingCapabilityError
from engine.records import Box, Observation, ObservationKind, TimeSpan, VideoId
from engine.sight.observer import Footage, ObserverConfig, Step

KIND: Final[ObservationKind] = "text"
FPS: Final = 1.0
SIDE_PX: Final = 1280
"""Print needs more pixels than things do; where the file is gone, stills have to do."""
STEP_S: Final = 30.0

_MIN_CONFIDENCE: Final = 0.6
"""Below it digits and letters are mostly guessed: a sign was read as "PETESTR A G" at 0.68."""
_SAME_TEXT: Final = 0.8
"""Likeness of two readings of one print, by matching letters."""
_SAME_PLACE: Final = 0.3
_CHANGED_PX: Final = 4
_CHANGE: Final = 24
"""Difference in grey, of 255, of so many points of a picture 160 points wide: two digits of a
clock change more, noise of a camera less."""
_CUT_SHARE: Final = 0.4
"""Share of points that change at a cut; of a camera that pans or zooms fewer do."""
_MIN_SIDE_PX: Final = 480
"""Smaller frames are enlarged to it; the default of 736 costs twice as much and read a title, a
timecode and a camera's clock no better."""
_BURST_MINUTES: Final = 2.5
"""Minutes' worth of the budget that may be spent at once."""
_MOST_PAUSE: Final = 4.0
"""Times the usual pause between two frames that are read, where nothing was found for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Print:
    """Words of one block of a frame."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


class TextObserver:
    """Blocks of print with the time for which they stand."""

    kind: Final = KIND
    labels: Final[frozenset[str]] = frozenset()

    def __init__(self, frames_per_minute: int) -> None:
        """Load the recognition models.

        Raises:
            MissingCapabilityError: RapidOCR is not installed.
        """
        require_parts()
        # Late: it imports ONNX Runtime and loads its weights. It configures a logger of its own.
        from rapidocr import RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.WARNING)
        self._reader = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "error",
                "Det.limit_side_len": _MIN_SIDE_PX,
            }
        )
        self._pause_s = 60.0 / frames_per_minute
        self._burst = _BURST_MINUTES * frames_per_minute
        self.model = f"rapidocr {importlib.metadata.version('rapidocr')}"

    def observe(
        self, footage: Footage, *, after_s: float = 0.0, before: Sequence[Observation] = ()
    ) -> Iterator[Step]:
        """Read frames from a time on; see `Observer`."""
        standing = _Standing(footage.video, self.model, after_s=after_s, before=before)
        budget = _Budget(self._pause_s, self._burst, after_s)
        last: UInt8[np.ndarray, "h w"] | None = None
        previous: UInt8[np.ndarray, "h w"] | None = None
        step_end_s = after_s + STEP_S
        for frame in footage.frames(FPS, SIDE_PX, after_s):
            if frame.time_s >= step_end_s:
                yield Step(end_s=frame.time_s, rows=standing.rows(frame.time_s))
                step_end_s = frame.time_s + STEP_S
            small = _small(frame.pixels)
            is_cut = previous is not None and _is_cut(small, previous)
            previous = small
            if last is not None and not _differs(small, last):
                continue
            if not budget.allows(frame.time_s, is_cut=is_cut):
                continue
            last = small
            blocks = self._read(frame.pixels)
            budget.spend(frame.time_s, has_print=bool(blocks))
            standing.add(frame.time_s, blocks)
        yield Step(end_s=footage.end_s, rows=standing.rows(footage.end_s))

    def _read(self, pixels: UInt8[np.ndarray, "h w 3"]) -> list[_Print]:
        # It takes pictures as OpenCV has them.
        result = self._reader(np.ascontiguousarray(pixels[..., ::-1]))
        if result.txts is None or result.boxes is None:
            return []
        height, width = pixels.shape[:2]
        lines = [
            _line(text, score, corners, width, height)
            for text, score, corners in zip(result.txts, result.scores, result.boxes, strict=True)
        ]
        return joined([line for line in lines if line.confidence >= _MIN_CONFIDENCE])


def open_observer(config: ObserverConfig) -> TextObserver:
    """Return the observer with the budget that was chosen."""
    return TextObserver(config.text_frames_per_minute)


def require_parts() -> None:
    """Check that RapidOCR is installed."""
    for package in ("rapidocr", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingCapabilityError(
                f"the package {package} is not installed", hint=f"pip install {package}"
            )


def joined(lines: Sequence[_Print]) -> list[_Print]:
    """Return lines with those below each other joined into blocks, in reading order."""
    blocks: list[_Print] = []
    for line in sorted(lines, key=lambda line: (line.top, line.left)):
        height = line.bottom - line.top
        for idx, block in enumerate(blocks):
            shared = min(block.right, line.right) - max(block.left, line.left)
            narrower = min(block.right - block.left, line.right - line.left)
            if -0.5 * height <= line.top - block.bottom < 0.8 * height and shared > 0.5 * narrower:
                blocks[idx] = _Print(
                    text=f"{block.text} {line.text}",
                    confidence=min(block.confidence, line.confidence),
                    left=min(block.left, line.left),
                    top=min(block.top, line.top),
                    right=max(block.right, line.right),
                    bottom=max(block.bottom, line.bottom),
                )
                break
        else:
            blocks.append(line)
    return blocks


class _Budget:
    """Frames that may still be read: some minutes' worth at once, then as the footage goes on."""

    def __init__(self, pause_s: float, burst: float, start_s: float) -> None:
        self._pause_s, self._burst = pause_s, burst
        self._left, self._at_s = burst, start_s
        self._factor, self._last_s, self._is_scarce = 1.0, -1e9, False

    def allows(self, time_s: float, *, is_cut: bool = False) -> bool:
        self._left = min(self._burst, self._left + (time_s - self._at_s) / self._pause_s)
        self._at_s = time_s
        # Until half of it is spent, every change is read; then less and less often until print is
        # found again.
        self._is_scarce = self._is_scarce or self._left < self._burst / 2
        # Behind a cut there is another picture: what the ones before it held tells nothing of it.
        is_idle = self._is_scarce and self._factor > 1.0 and not is_cut
        pause_s = self._pause_s * self._factor if is_idle else 0.0
        return self._left >= 1.0 and time_s - self._last_s >= pause_s

    def spend(self, time_s: float, *, has_print: bool) -> None:
        self._left -= 1.0
        self._last_s, self._is_scarce = time_s, self._is_scarce and not has_print
        self._factor = 1.0 if has_print else min(_MOST_PAUSE, self._factor * 1.5)


class _Standing:
    """Print that stands, and what stood since the last step."""

    def __init__(
        self, video: VideoId, model: str, *, after_s: float, before: Sequence[Observation]
    ) -> None:
        self._video, self._model = video, model
        self._open = [row for row in before if row.span.end_s >= after_s]
        self._ended: list[Observation] = []
        self._next = 1 + max((row.track or 0 for row in before), default=0)

    def add(self, time_s: float, blocks: Sequence[_Print]) -> None:
        """Take what a frame says; what it no longer says has ended."""
        rows = [*self._open]
        still_open: list[Observation] = []
        for block in blocks:
            row = next((row for row in rows if _is_same(row, block)), None)
            if row is None:
                still_open.append(self._new(time_s, block))
            else:
                rows.remove(row)
                still_open.append(_seen_again(row, time_s, block))
        self._ended += [
            replace(row, span=TimeSpan(start_s=row.span.start_s, end_s=time_s)) for row in rows
        ]
        self._open = still_open

    def rows(self, end_s: float) -> tuple[Observation, ...]:
        """Return what ended since the last call, and what stands at a time."""
        ended, self._ended = self._ended, []
        self._open = [
            replace(row, span=TimeSpan(start_s=row.span.start_s, end_s=max(end_s, row.peak_s)))
            for row in self._open
        ]
        return (*ended, *self._open)

    def _new(self, time_s: float, block: _Print) -> Observation:
        self._next += 1
        return Observation(
            video=self._video,
            kind=KIND,
            span=TimeSpan(start_s=time_s, end_s=time_s),
            label="",
            text=block.text,
            confidence=block.confidence,
            model=self._model,
            peak_s=time_s,
            track=self._next - 1,
            boxes=(_box(time_s, block),),
        )


def _is_same(row: Observation, block: _Print) -> bool:
    """Return whether a print that stood is what a frame says now: alike, and in its place."""
    box = row.boxes[-1]
    width = min(box.right, block.right) - max(box.left, block.left)
    height = min(box.bottom, block.bottom) - max(box.top, block.top)
    shared = max(0.0, width) * max(0.0, height)
    covered = (
        (box.right - box.left) * (box.bottom - box.top)
        + (block.right - block.left) * (block.bottom - block.top)
        - shared
    )
    if shared < _SAME_PLACE * covered:
        return False
    # Digits are told apart one by one: a clock is another print every second.
    digits, others = (re.findall(r"\d", text) for text in (row.text, block.text))
    if digits != others:
        return False
    likeness = difflib.SequenceMatcher(None, row.text.casefold(), block.text.casefold()).ratio()
    return likeness >= _SAME_TEXT


def _seen_again(row: Observation, time_s: float, block: _Print) -> Observation:
    seen = replace(row, n_seen=row.n_seen + 1, n_looked=row.n_looked + 1)
    if block.confidence <= row.confidence:
        return seen
    # The surest reading is the one that is kept.
    return replace(
        seen,
        text=block.text,
        confidence=block.confidence,
        peak_s=time_s,
        boxes=(_box(time_s, block),),
    )


def _box(time_s: float, block: _Print) -> Box:
    return Box(
        time_s=time_s, left=block.left, top=block.top, right=block.right, bottom=block.bottom
    )


def _line(text: str, score: float, corners: Any, width: int, height: int) -> _Print:
    points = np.asarray(corners, np.float64)
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    # One letter alone is a stain as often as a letter.
    is_worth = len(re.findall(r"\w", text)) > 1
    return _Print(
        text=" ".join(text.split()),
        confidence=float(score) if is_worth else 0.0,
        left=max(0.0, float(left) / width),
        top=max(0.0, float(top) / height),
        right=min(1.0, float(right) / width),
        bottom=min(1.0, float(bottom) / height),
    )


def _small(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2"]:
    height, width = pixels.shape[:2]
    size = (160, max(1, round(160 * height / width)))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey)


def _differs(picture: UInt8[np.ndarray, "h w"], before: UInt8[np.ndarray, "h2 w2"]) -> bool:
    if picture.shape != before.shape:
        return True
    return int((cv2.absdiff(picture, before) > _CHANGE).sum()) >= _CHANGED_PX


def _is_cut(picture: UInt8[np.ndarray, "h w"], before: UInt8[np.ndarray, "h2 w2"]) -> bool:
    """Return whether most of a picture is another than a second before."""
    if picture.shape != before.shape:
        return True
    return float((cv2.absdiff(picture, before) > _CHANGE).mean()) >= _CUT_SHARE
