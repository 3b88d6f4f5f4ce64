"""Least difference of two pictures that show different things: by their light and their noise.

Decision: a difference counts as a share of the light that there is, and never within what the
picture's own noise makes. In a bright picture nothing but `most` decides.
Because: whoever walks through a dark yard changes it by a few steps of grey, and a bound for
daylight waited for the heartbeat; and what only follows the light wakes at every grain of a night.
Measured: a room with six visitors at 3 % of its light with a sensor's noise: heartbeats alone show
them without it, all six are noticed in 1 s with it; pictures of nothing but noise stay as still.
"""

from collections import deque

import numpy as np
from jaxtyping import UInt8

LEARNED_S = 60.0
"""How far back the noise of a picture is known."""
_LEAST_LEARNED = 8
"""Differences that tell noise; with fewer `most` decides."""
_QUIET = 0.25
"""Quantile of them that is noise: in most of a minute something may move."""
_ABOVE_NOISE = 2.0
"""Times the noise that counts. Of H.264 of made noise, keyframes 2 s or 10 s apart, the largest
difference within 30 s was up to 1.5 times it."""
_LEAST = 4 / 255
"""Steps of an 8-bit picture that rounding and keyframes make where the rest of it is frozen."""
_BRIGHT = 0.25
"""Median grey from which a picture is not dark; drawn and filmed days lie at 0.3 to 0.7."""


class Stillness:
    """Noise of a picture while nothing happens, learned from picture to picture.

    It depends on the last `LEARNED_S` alone, so that whoever reads them again knows the same.
    """

    def __init__(self, most: float) -> None:
        """Begin without knowledge.

        Args:
            most: The difference that always counts, as a share of the grey scale.
        """
        self._most = most
        self._before: tuple[float, UInt8[np.ndarray, "h w"]] | None = None
        self._changes: deque[tuple[float, float]] = deque()

    def learn(self, pts_s: float, thumbnail: UInt8[np.ndarray, "h w"]) -> None:
        """Take the next picture, whatever becomes of it."""
        if self._before is not None:
            self._changes.append((self._before[0], change(self._before[1], thumbnail)))
        self._before = (pts_s, thumbnail)
        while self._changes and self._changes[0][0] < pts_s - LEARNED_S:
            self._changes.popleft()

    def least_change(self, kept: UInt8[np.ndarray, "h w"]) -> float:
        """Return the `change` from which a picture shows something else than the kept one did."""
        lit = self._most * float(np.median(kept)) / 255 / _BRIGHT
        if lit >= self._most or len(self._changes) < _LEAST_LEARNED:
            return self._most
        noise = float(np.quantile([difference for _, difference in self._changes], _QUIET))
        return min(self._most, max(lit, _ABOVE_NOISE * noise, _LEAST))


def change(before: UInt8[np.ndarray, "h w"], now: UInt8[np.ndarray, "h w"]) -> float:
    """Return how much the most changed 16 cells of a 64x36 grey picture differ, in [0, 1].

    The mean over all cells would miss a person far away; the single most changed is noise.
    """
    differences = np.abs(before.astype(np.int16) - now.astype(np.int16)).ravel()
    n = max(1, differences.size // 144)
    return float(np.partition(differences, -n)[-n:].mean()) / 255
