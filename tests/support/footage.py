"""Footage for observers, made of pictures and sound in memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, UInt8

from engine.records import Observation, TimeSpan, VideoId
from engine.sight.observer import SOUND_RATE, Cue, Observer, TimedImage

VIDEO = VideoId("v1")


@dataclass(slots=True)
class DrawnFootage:
    """One picture for each moment, as a function draws it."""

    draw: Callable[[float], UInt8[np.ndarray, "h w 3"]]
    end_s: float
    samples: Float32[np.ndarray, " sample"] | None = None
    cues: tuple[Cue, ...] = ()
    video: VideoId = VIDEO
    has_more_sound: bool = False
    """Whether the camera goes on, so that sound ends before pictures do."""
    looked_at_s: list[float] = field(default_factory=list)
    """Times of every picture that was handed out."""

    @property
    def has_sound(self) -> bool:
        return self.samples is not None

    @property
    def sound_end_s(self) -> float:
        if self.samples is None or not self.has_more_sound:
            return self.end_s
        return self.samples.size / SOUND_RATE

    def stills(self, after_s: float) -> Iterator[TimedImage]:
        return self.frames(1.0, 640, after_s)

    def frames(self, fps: float, max_side_px: int, after_s: float) -> Iterator[TimedImage]:
        first = int(np.ceil(after_s * fps))
        for number in range(first, int(self.end_s * fps)):
            self.looked_at_s.append(number / fps)
            yield TimedImage(time_s=number / fps, pixels=self.draw(number / fps))

    def sound(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        if self.samples is None:
            return None
        return self.samples[round(span.start_s * SOUND_RATE) : round(span.end_s * SOUND_RATE)]

    def subtitles(self) -> tuple[Cue, ...]:
        return self.cues


def observed(
    observer: Observer,
    footage: DrawnFootage,
    *,
    after_s: float = 0.0,
    before: Sequence[Observation] = (),
) -> list[Observation]:
    """Return what stands at the end of the last step, in time order."""
    tracks: dict[int, Observation] = {row.track: row for row in before if row.track is not None}
    others = [row for row in before if row.track is None]
    for step in observer.observe(footage, after_s=after_s, before=before):
        for row in step.rows:
            if row.track is None:
                others.append(row)
            else:
                tracks[row.track] = row
    return sorted([*others, *tracks.values()], key=lambda row: (row.span.start_s, row.track or 0))
