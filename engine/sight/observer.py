"""The seam between observers and the footage that they look at.

An observer is a file below `observers/` that defines `KIND`, `require_parts` and `open_observer`.
It states facts as rows, step by step, so that a kill loses one step. The application hands it the
footage and writes the rows down.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

import engine.sight.observers
from engine import plugins
from engine.records import Observation, ObservationKind, TimeSpan, VideoId

SOUND_RATE: int = 16_000
"""Samples a second of the sound that observers hear, one channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedImage:
    """One frame in RGB; it shows what is seen until the next one."""

    time_s: float
    pixels: UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """A subtitle as its file states it."""

    span: TimeSpan
    text: str


@runtime_checkable
class Footage(Protocol):
    """A video as observers see and hear it, in time order."""

    @property
    def video(self) -> VideoId:
        """The video that rows are about."""
        ...

    @property
    def end_s(self) -> float:
        """End of what can be looked at now; of a live camera it moves."""
        ...

    @property
    def has_sound(self) -> bool:
        """Whether there is a sound track, though it may be out of reach."""
        ...

    @property
    def sound_end_s(self) -> float:
        """End of what can be heard now; before `end_s` while files of a camera are to come."""
        ...

    def stills(self, after_s: float) -> Iterator[TimedImage]:
        """Yield the sampled frames from a time on; static stretches are one picture."""
        ...

    def frames(self, fps: float, max_side_px: int, after_s: float) -> Iterator[TimedImage]:
        """Yield frames at a rate of the observer's choice; stills where the file is gone."""
        ...

    def sound(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """Return one channel at 16 kHz, in [-1, 1]; `None` where there is none."""
        ...

    def subtitles(self) -> tuple[Cue, ...]:
        """Return what a track of the file, or a file beside it, says in words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Rows since the step before, and how far the observer has looked."""

    end_s: float
    rows: tuple[Observation, ...] = ()
    """A row of a track that was stated before takes its place."""


@runtime_checkable
class Observer(Protocol):
    """One kind of fact about footage."""

    @property
    def kind(self) -> ObservationKind:
        """The kind of its rows."""
        ...

    @property
    def model(self) -> str:
        """The part that sees or hears, with its version."""
        ...

    @property
    def labels(self) -> frozenset[str]:
        """Every label that it can state; empty where it reads any words."""
        ...

    def observe(
        self, footage: Footage, *, after_s: float = 0.0, before: Sequence[Observation] = ()
    ) -> Iterator[Step]:
        """Look at footage from a time on.

        Args:
            footage: Read once, in time order.
            after_s: The end of what was looked at before.
            before: Rows that were stated before and reach up to `after_s`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverConfig:
    """Choices of every observer."""

    models: Path
    """Folder of models; what an observer has to unpack it keeps there."""
    detector: str | None = None
    """Folder of another detector; the packaged one when `None`."""
    speech_model: str | None = None
    """Name or folder for faster-whisper; the packaged one when `None`."""
    speech_language: str | None = None
    """Code such as `en`; told from the sound when `None`."""
    text_frames_per_minute: int = 12
    """Most frames that are read for print, for each minute of footage: one costs a second."""


def observer_names() -> tuple[str, ...]:
    """Return the names of all observers, sorted."""
    return plugins.names(engine.sight.observers)


def open_observer(name: str, config: ObserverConfig) -> Observer:
    """Open an observer by name; loading its model may take seconds.

    Raises:
        NotFoundError: No such observer.
        MissingCapabilityError: A part of it is missing; the message says what brings it.
        WeightsError: Its weights are damaged.
    """
    observer: Observer = _plugin(name).open_observer(config)
    return observer


def summary_of(name: str) -> str:
    """Return what an observer states, in the sentence that its file begins with."""
    return (_plugin(name).__doc__ or "").strip().splitlines()[0]


def kind_of(name: str) -> ObservationKind:
    """Return the kind of rows of an observer; no model is loaded.

    Raises:
        NotFoundError: No such observer.
    """
    kind: ObservationKind = _plugin(name).KIND
    return kind


def require_parts(name: str) -> None:
    """Check that the packages of an observer are installed; none is imported.

    Raises:
        NotFoundError: No such observer.
        MissingCapabilityError: One is not; the message says which, and the hint what brings it.
    """
    _plugin(name).require_parts()


def _plugin(name: str) -> ModuleType:
    wanted = ["KIND", "require_parts", "open_observer"]
    return plugins.load(engine.sight.observers, name, defines=wanted)
