"""Measures how much a checkpoint's retrieval signals are worth, so that it can say "not found".

No cosine means the same in two checkpoints, nor for two questions of most. Here a model is asked,
over drawn recordings, for things that are there and for things that are not; a logistic
regression then says what cosine, deviation and attention are worth. The result belongs beside the
weights, as `retrieval.json`.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from engine.media.frames import Frame
from engine.pipeline.assemble import Engine, assemble
from engine.pipeline.ingest import ResumePoint, encode_frames, ingest_encoded
from engine.pipeline.retrieve import retrieve
from engine.pipeline.signals import RetrievalConfig, Signals
from engine.probes.needle import chunked
from engine.records import TimeSpan, VideoId
from engine.world import grammar
from engine.world.actors import KINDS
from engine.world.outside import outside_question
from engine.world.palette import COLOURS, SHAPES
from engine.world.story import Event, Story, draw_story

FILE = "retrieval.json"
_ALL = TimeSpan(start_s=0.0, end_s=float("inf"))
ATTENTION_EARNS = 0.01
"""Accuracy that the attention signal must add to be used at all."""
_SHRINK = 1e-3
"""Weight decay of the fit: keeps weights finite where a signal separates perfectly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What retrieval put first for a question, and whether it was there."""

    signals: Signals
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured, on recordings that were not fitted."""

    retrieval: RetrievalConfig
    n: int
    found_what_is_there: float
    """Share of things that are there of which the first hit is one, with support above 0.5."""
    denied_what_is_not: float
    """Share of things that are not there for which nothing has support above 0.5."""

    @property
    def accuracy(self) -> float:
        """Both shares, counted alike."""
        return (self.found_what_is_there + self.denied_what_is_not) / 2


def calibrate(
    engine: Engine,
    *,
    haystacks: Sequence[Sequence[Frame]] = (),
    n_stories: int = 12,
    duration_s: float = 300.0,
    seed: int = 5000,
) -> Calibration:
    """Fit the worth of signals on drawn recordings, and test it on others.

    Args:
        engine: Whose model to measure; its library stays untouched.
        haystacks: Foreign footage in which nothing drawn is there.
        n_stories: Drawn recordings; every third is kept for the test.
        duration_s: Length of each.
        seed: Of the first recording.
    """
    judged: list[list[Judged]] = []
    for number in range(n_stories):
        story = draw_story(seed + number, duration_s, engine.sampling.fps)
        frames = [
            Frame(
                pixels=story.frame(place / engine.sampling.fps), pts_s=place / engine.sampling.fps
            )
            for place in range(int(duration_s * engine.sampling.fps))
        ]
        judged.append(list(_judged(engine, frames, _asked(story, seed + number))))
    for number, haystack in enumerate(haystacks):
        asked = [(text, ()) for text in _absent((), seed - number, count=24)]
        judged.append(list(_judged(engine, haystack, asked)))
    fitted = [each for place, some in enumerate(judged) if place % 3 for each in some]
    tested = [each for place, some in enumerate(judged) if place % 3 == 0 for each in some]
    plain = _scored(fit(engine.retrieval, fitted, use_attention=False), fitted)
    full = _scored(fit(engine.retrieval, fitted, use_attention=True), fitted)
    # Attention costs a pass over the candidates with every question: it has to earn it.
    best = full if full.accuracy > plain.accuracy + ATTENTION_EARNS else plain
    return _scored(best.retrieval, tested)


def fit(
    start: RetrievalConfig, judged: Sequence[Judged], *, use_attention: bool = True
) -> RetrievalConfig:
    """Weights by logistic regression; both answers count alike, and no weight is negative."""
    rows = np.array([_row(each.signals) for each in judged])
    if not use_attention:
        rows[:, 2] = 0.0
    there = np.array([each.is_there for each in judged], dtype=np.float64)
    if not 0 < there.sum() < len(there):
        raise ValueError("calibration needs things that are there and things that are not")
    centre, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)
    weights, bias = _regress((rows - centre) / scale, there)
    per = weights / scale
    return replace(
        start,
        bias=float(bias - per @ centre),
        per_cosine=float(per[0]),
        per_deviation=float(per[1]),
        per_attention=float(per[2]),
    )


def write(retrieval: RetrievalConfig, folder: Path) -> Path:
    """Put what was measured beside a checkpoint's weights."""
    path = folder / FILE
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(retrieval).items()
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    return path


def _regress(
    rows: Float64[np.ndarray, "sample signal"], there: Float64[np.ndarray, " sample"]
) -> tuple[Float64[np.ndarray, " signal"], float]:
    """Projected gradient descent; small, convex, and the same on every machine."""
    weights, bias = np.zeros(rows.shape[1]), 0.0
    share = np.where(there > 0, 0.5 / there.sum(), 0.5 / (len(there) - there.sum()))
    for _ in range(20_000):
        miss = share * (1 / (1 + np.exp(-np.clip(rows @ weights + bias, -30, 30))) - there)
        weights = np.maximum(weights - 2.0 * (rows.T @ miss + _SHRINK * weights), 0.0)
        bias -= 2.0 * float(miss.sum())
    return weights, bias


def _scored(retrieval: RetrievalConfig, judged: Sequence[Judged]) -> Calibration:
    weights = np.array([retrieval.per_cosine, retrieval.per_deviation, retrieval.per_attention])
    said = [float(weights @ _row(each.signals)) + retrieval.bias > 0 for each in judged]
    there = [yes for yes, each in zip(said, judged, strict=True) if each.is_there]
    absent = [not yes for yes, each in zip(said, judged, strict=True) if not each.is_there]
    return Calibration(
        retrieval=retrieval,
        n=len(judged),
        found_what_is_there=sum(there) / max(1, len(there)),
        denied_what_is_not=sum(absent) / max(1, len(absent)),
    )


def _row(signals: Signals) -> Float64[np.ndarray, " signal"]:
    return np.array([signals.cosine, signals.deviation, signals.attention])


def _asked(story: Story, seed: int) -> list[tuple[str, tuple[TimeSpan, ...]]]:
    """Questions about a story: for each event, and as many for what never happens."""
    rng = np.random.default_rng([seed, 13])
    spans: dict[str, list[TimeSpan]] = {}
    for event in story.events:
        spans.setdefault(event.name, []).append(event.span)
    there = [(_wording(name, rng), tuple(found)) for name, found in spans.items()]
    absent = _absent(story.events, seed, count=len(there))
    return [*there, *((text, ()) for text in absent)]


def _absent(events: Sequence[Event], seed: int, *, count: int) -> list[str]:
    """Questions for things that a story does not show, and one in four that no video answers."""
    rng = np.random.default_rng([seed, 17])
    names = [grammar.thing_phrase(kind, colour) for kind in KINDS for colour in COLOURS]
    names += [grammar.thing_phrase("card", colour, shape) for colour in COLOURS for shape in SHAPES]
    shown = {event.name for event in events}
    missing = sorted(set(names) - shown)
    near = [_wording(missing[place], rng) for place in rng.permutation(len(missing))[:count]]
    far = [outside_question(rng, held_out=False) for _ in range(count // 4)]
    return [*near[: count - len(far)], *far]


def _wording(name: str, rng: np.random.Generator) -> str:
    kind = ("exist", "when", "colour")[int(rng.integers(3))]
    text = grammar.TEMPLATES[kind][0]
    return text.format(thing=f"the {name}", a_thing=grammar.an(name))


def _judged(
    engine: Engine, frames: Sequence[Frame], asked: Sequence[tuple[str, Sequence[TimeSpan]]]
) -> Iterator[Judged]:
    """Ask for each thing, and see what comes first; a wrong first hit counts as not there."""
    video = VideoId("calibration")
    with tempfile.TemporaryDirectory(prefix="longwatch-calibrate-") as folder:
        config = replace(
            engine.config,
            latents_folder=Path(folder),
            index_folder=Path(folder),
            # Every signal is measured, whatever it will turn out to be worth.
            retrieval=replace(engine.retrieval, bias=0.0, per_cosine=1.0, per_attention=1e-9),
            durable=False,
        )
        measured = assemble(config, model=engine.model)
        tokens = encode_frames(measured.model, frames)
        start = ResumePoint(ordinal=0, after_s=None, frames_sampled=0)
        for _ in ingest_encoded(measured, video, chunked(measured, tokens), resume=start):
            pass
        for text, spans in asked:
            first = retrieve(measured, text, scope=[(video, _ALL)]).found[0]
            there = any(_shows(span, first.hit.peak_s, engine.sampling.fps) for span in spans)
            yield Judged(signals=first.signals, is_there=there)


def _shows(span: TimeSpan, frame_s: float, fps: float) -> bool:
    """Whether a sampled frame may show an event: it stands for the time until the next one."""
    return span.start_s - 1 / fps < frame_s < span.end_s
