"""Apollo's clips: which frames make them, and the words that place them in the prompt.

Source: arXiv:2412.10360 and the released loader; checked by `tests/golden/apollo/host_side`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSampling:
    """The released way to pick clips from a file of known length; a stream needs none of it."""

    clip_s: float = 2.0
    frames_per_clip: int = 4
    tokens_per_clip: int = 128
    max_positions: int = 16384
    budget: float = 0.65
    """Share of the positions that clips may fill: the value of the released recipe."""

    def keep_share(self, duration_s: float) -> float:
        """Share of a video's clips that the budget allows: 1 up to 166 s as released."""
        wanted = duration_s * self.tokens_per_clip / self.clip_s
        return min(1.0, self.max_positions * self.budget / wanted)

    def n_clips(self, n_frames: int, fps: float) -> int:
        """Clips of a video; rounding up may pass the budget by less than one clip."""
        duration_s = n_frames / fps
        return math.ceil(duration_s / self.clip_s * self.keep_share(duration_s))

    def clips(self, n_frames: int, fps: float) -> list[list[int]]:
        """Frame numbers of every clip.

        Args:
            n_frames: Frames of the file.
            fps: Their mean rate.
        """
        if n_frames < 1 or fps <= 0:
            raise ValueError(f"a video needs frames and a rate, not {n_frames} at {fps} fps")
        step = fps * self.clip_s / self.frames_per_clip
        n_clips = self.n_clips(n_frames, fps)
        if step <= 0.5:
            return self._repeated(n_frames, n_clips, step)
        return self._stepped(n_frames, n_clips, max(1, int(step)))

    def _stepped(self, n_frames: int, n_clips: int, step: int) -> list[list[int]]:
        part, span = n_frames // n_clips, self.frames_per_clip * step
        if part > span:
            # Clips lie apart: each in the middle of its share of the video.
            start = (part - span) // 2
            first = list(range(start, start + span, step))
            return [[i * part + frame for frame in first] for i in range(n_clips)]
        known = min(span, n_frames)
        shift = (n_frames - span) // max(1, n_clips - 1) if n_frames > span else 0
        return self._shifted(list(range(0, known, step)), known, n_clips, shift)

    def _repeated(self, n_frames: int, n_clips: int, step: float) -> list[list[int]]:
        # Differs from upstream: at under half a frame a second upstream asks for frame -1, and
        # with clips of other lengths it returns more frames than a clip holds. Ours starts at
        # frame 0 and cuts; a test holds both (fps 0.3; 8 frames a clip at step 0.4).
        n_real = max(1, int(self.frames_per_clip * step))
        frames = [frame for frame in range(n_real) for _ in range(math.ceil(1 / step))]
        known = min(n_real, n_frames)
        shift = max(0, n_frames - n_real) // max(1, n_clips - 1)
        return self._shifted(frames[: self.frames_per_clip], known, n_clips, shift)

    def _shifted(self, frames: list[int], known: int, n_clips: int, shift: int) -> list[list[int]]:
        frames = frames + [known] * (self.frames_per_clip - len(frames))
        frames = [min(frame, known - 1) for frame in frames]
        return [[i * shift + frame for frame in frames] for i in range(n_clips)]


def introduce(
    spans: Sequence[tuple[float, float]], *, clip_s: float, duration_s: float
) -> tuple[str, ...]:
    """The words around the clips of a video: one piece before each clip.

    Args:
        spans: First and last frame of each clip, in seconds.
        clip_s: Nominal length of a clip.
        duration_s: Length of the video that they come from.
    """
    opening = (
        f"You are provided the following series of {number_words(len(spans))}, {clip_s:g} second "
        f"clips from a {timedelta(seconds=duration_s)} [H:MM:SS] video.\n"
    )
    times = [f"{round(start_s, 1)}-{round(end_s, 1)} seconds: " for start_s, end_s in spans]
    return tuple((opening if index == 0 else ",\n") + time for index, time in enumerate(times))


def number_words(number: int) -> str:
    """A count in English words, as the released prompt writes it: `one hundred and four`."""
    if number < 0:
        raise ValueError(f"a count is not negative: {number}")
    for unit, name in ((1_000_000, "million"), (1000, "thousand")):
        if number >= unit:
            head, rest = divmod(number, unit)
            joint = " and " if rest < 100 else ", "
            tail = f"{joint}{number_words(rest)}" if rest else ""
            return f"{number_words(head)} {name}{tail}"
    if number >= 100:
        head, rest = divmod(number, 100)
        return f"{ONES[head]} hundred" + (f" and {number_words(rest)}" if rest else "")
    if number >= 20:
        head, rest = divmod(number, 10)
        return TENS[head] + (f"-{ONES[rest]}" if rest else "")
    return ONES[number]
