"""A second look at kept stills while a question is answered: classes, colours, meanings."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8
from torch import Tensor

from engine.cache.stills import StillStore
from engine.errors import LongwatchError, MissingCapabilityError
from engine.pipeline.compose.footage import Fit
from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.still_search import search_stills
from engine.records import Box, Evidence, Scope, VideoId

MARGIN = 0.15
"""Share of a box's size that is looked at around it: a classifier was trained on things with
some of what surrounds them."""

Classify = Callable[[Sequence[UInt8[np.ndarray, "_ _ 3"]]], Float32[Tensor, "image label"]]
NameColours = Callable[[UInt8[np.ndarray, "_ _ 3"], Box], tuple[str, ...]]
Locate = Callable[
    [UInt8[np.ndarray, "_ _ 3"], Collection[int]], tuple[float, float, float, float] | None
]
Encode = Callable[[Sequence[str]], Float32[Tensor, "text dim"]]


class StillsLook:
    """The models that are at hand, over the stills of a library; for one question.

    Args:
        stills: Of the library.
        classify: Pictures to posteriors; `None` where the classifier is missing.
        name_colours: A picture and a box in it to names; `None` likewise.
        encode: Texts to unit vectors; `None` likewise.
        locate: A picture and classes to left, top, right and bottom; `None` likewise.
        encoders: Whose vectors of the stills are searched.
    """

    def __init__(
        self,
        stills: StillStore,
        *,
        classify: Classify | None = None,
        name_colours: NameColours | None = None,
        encode: Encode | None = None,
        locate: Locate | None = None,
        encoders: Sequence[EncoderIndex] = (),
    ) -> None:
        self._stills = stills
        self._classify = classify
        self._name_colours = name_colours
        self._encode = encode
        self._locate = locate
        self._encoders = tuple(encoders)
        # One question comes back to the same few moments.
        self._pixels = lru_cache(maxsize=32)(self._read)
        self.classes = lru_cache(maxsize=256)(self._classes)

    def colours(self, video: VideoId, time_s: float, box: Box | None = None) -> tuple[str, ...]:
        """Return the names of the colours of a still, or of a box in it."""
        pixels = self._pixels(video, time_s)
        if pixels is None or self._name_colours is None:
            return ()
        whole = Box(time_s=time_s, left=0.0, top=0.0, right=1.0, bottom=1.0)
        return self._name_colours(pixels, box or whole)

    def place(self, video: VideoId, time_s: float, classes: frozenset[int]) -> Box | None:
        """Return roughly where in a still some classes are seen; `None` without a model."""
        pixels = self._pixels(video, time_s)
        if pixels is None or self._locate is None:
            return None
        try:
            sides = self._locate(pixels, classes)
        except MissingCapabilityError:
            return None
        if sides is None:
            return None
        left, top, right, bottom = sides
        return Box(time_s=time_s, left=left, top=top, right=right, bottom=bottom)

    def fits(self, phrases: Sequence[str], scope: Scope) -> tuple[Fit, ...]:
        """Return the best moment of each phrase, by the encoder that is surest of it."""
        fits = []
        for phrase in phrases:
            moments = [
                moment
                for encoder_index in self._encoders
                for moment in search_stills(encoder_index, phrase, scope=scope, top=1)
            ]
            if not moments:
                return ()
            best = max(moments, key=lambda moment: moment.log_odds)
            evidence = Evidence(
                video=best.video,
                span=best.span,
                score=best.score,
                origin="retrieval",
                keyframe_s=best.peak_s,
            )
            fits.append(
                Fit(
                    phrase=phrase,
                    log_odds=best.log_odds,
                    source=best.source,
                    evidence=evidence,
                )
            )
        return tuple(fits)

    def likeness(self, text: str, others: Sequence[str]) -> Sequence[float]:
        """Return the cosine of a text with each of the others; empty without a model."""
        if self._encode is None or not others:
            return ()
        try:
            vectors = self._encode([text, *others])
        except MissingCapabilityError:
            # Words alone compare then; `longwatch doctor` names the package.
            return ()
        cosines: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return cosines

    def _classes(self, video: VideoId, time_s: float, box: Box | None = None) -> Sequence[float]:
        pixels = self._pixels(video, time_s)
        if pixels is None or self._classify is None:
            return ()
        views = [pixels] if box is None else [_crop(pixels, box)]
        if box is None:
            views.append(_centre_square(pixels))
        try:
            posterior: list[float] = self._classify(views).mean(dim=0).tolist()
        except MissingCapabilityError:
            return ()
        return posterior

    def _read(self, video: VideoId, time_s: float) -> UInt8[np.ndarray, "_ _ 3"] | None:
        try:
            return self._stills.at(video, time_s).pixels()
        except LongwatchError:
            # Stills are kept for a while only; a row of what they showed is kept on.
            return None


def _crop(pixels: UInt8[np.ndarray, "_ _ 3"], box: Box) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = pixels.shape[:2]
    across, down = MARGIN * (box.right - box.left), MARGIN * (box.bottom - box.top)
    left, right = max(0.0, box.left - across), min(1.0, box.right + across)
    top, bottom = max(0.0, box.top - down), min(1.0, box.bottom + down)
    rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
    columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
    return pixels[rows, columns]


def _centre_square(pixels: UInt8[np.ndarray, "_ _ 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
