"""Which frames and which sound the papers' own evaluations feed: a fixed number of a whole video.

Ingest never uses these rules (it samples by time and covers everything); evaluation uses them to
repeat reported numbers, and the parity cases pin them down.
"""

from math import floor

AUDIO_WINDOWS = 8
AUDIO_WINDOW_S = 2.0


def pllava_frames(
    last: int,
    fps: float,
    n_frames: int,
    *,
    bound_s: tuple[float, float] | None = None,
    first: int = 0,
) -> list[int]:
    """PLLaVA's benchmark rule: the middle of each of `n_frames` equal stretches.

    Args:
        last: Index of the last frame.
        fps: Frames a second, for the bound.
        n_frames: How many are wanted; a short video repeats some.
        bound_s: Only this stretch of the video.
        first: Index of the first frame; folders of numbered pictures start at 1.
    """
    start, end = first, last
    if bound_s is not None:
        start = max(first, round(bound_s[0] * fps))
        end = min(round(bound_s[1] * fps), last)
    stretch = (end - start) / n_frames
    return [int(start + stretch / 2 + round(stretch * idx)) for idx in range(n_frames)]


def pllava_demo_frames(available: int, n_frames: int) -> list[int]:
    """PLLaVA's chat rule; it rounds the half stretch by itself.

    Args:
        available: Frames of the video.
        n_frames: How many are wanted.
    """
    stretch = (available - 1) / n_frames
    return [int(stretch / 2) + round(stretch * idx) for idx in range(n_frames)]


def videollama2_frames(available: int, n_frames: int) -> list[int]:
    """VideoLLaMA 2's uniform rule; half positions round to even, short videos repeat frames."""
    stretch = (available - 1) / n_frames
    return [round(stretch * idx + stretch / 2 + 1e-6) for idx in range(n_frames)]


def videollama2_frames_by_second(available: int, fps: float) -> list[int]:
    """VideoLLaMA 2's rule without a frame count: one frame a second, in the middle of each."""
    step = min(floor(fps), available)
    return list(range(step // 2, available, step))


def videollama2_audio_windows(
    duration_s: float, *, n_windows: int = AUDIO_WINDOWS, window_s: float = AUDIO_WINDOW_S
) -> list[tuple[float, float]]:
    """The stretches of a track that VideoLLaMA 2's evaluation hears, in seconds.

    Eight windows of two seconds at even distances; they overlap in tracks under 18 s, repeat the
    track when it is shorter than two, and never reach its end.
    """
    room_s = max(duration_s - window_s, 0.0)
    starts = (idx * room_s / n_windows for idx in range(n_windows))
    return [(start_s, start_s + window_s) for start_s in starts]
