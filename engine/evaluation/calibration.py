"""Measures how much a checkpoint's retrieval signals are worth, so that it can say "not found".

No cosine means the same in two checkpoints, nor for two questions of most. Here a model is asked,
over recordings whose events are known, for things that are there and for near misses that are
not. A logistic regression says what cosine, deviation and attention are worth; other recordings
then say where the threshold lies, and yet others how often it is wrong. The result belongs beside
the weights, as `retrieval.json`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from engine.evaluation.abstention import Claim, asked, claims
from engine.evaluation.scratch_engine import WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.engine import Engine
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import HitFeatures, RetrievalConfig
from engine.synthetic.cards_in_footage import spans_of
from engine.synthetic.recordings import LENGTHS, Recording, recordings

Footage = Sequence[UInt8[np.ndarray, "h w 3"]]

FILE = "retrieval.json"
FRAMES_EACH = 512
"""Frames of each length and setting, in each of the three sets of recordings."""
SEEDS_APART = 100
"""Between the first seeds of the sets."""
MISS_COSTS = 2.0
"""False alarms that a miss is as bad as: a false alarm still reaches the model, which may deny
what it does not see, but after a miss nobody looks."""
ATTENTION_EARNS = 0.01
"""Accuracy that the attention signal must add to be used at all."""
_SHRINK = 1e-3
"""Weight decay of the fit: keeps weights finite where a signal separates perfectly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What retrieval put first for a question, and whether it was there."""

    signals: HitFeatures
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What retrieval should be, and what it claimed of recordings that had no part in that."""

    retrieval: RetrievalConfig
    claims: tuple[Claim, ...]


def calibrate(
    engine: Engine,
    *,
    footage: Footage = (),
    tested_footage: Footage | None = None,
    lengths: Sequence[int] = LENGTHS,
    frames_each: int = FRAMES_EACH,
    seed: int = 5000,
) -> Calibration:
    """Fit the worth of signals, set the threshold, and test both, on three sets of recordings.

    Args:
        engine: Whose model to measure; its library stays untouched.
        footage: Real frames in which cards are held up, beside drawn stories.
        tested_footage: Those of the test; `footage` when `None`.
        lengths: Frames of the recordings.
        frames_each: Frames of each length and setting, in each set.
        seed: Of the first recording.
    """
    fps = float(engine.sampling.fps)

    def drawn(place: int, over: Footage) -> Iterator[Recording]:
        first = seed + place * SEEDS_APART
        return recordings(fps, over, lengths=lengths, frames_each=frames_each, seed=first)

    fitted = list(_judged(engine, drawn(0, footage)))
    plain, full = (fit(engine.retrieval, fitted, use_attention=use) for use in (False, True))
    # Attention costs a pass over the candidates with every question: it has to earn it.
    earns = accuracy(full, fitted) > accuracy(plain, fitted) + ATTENTION_EARNS
    chosen = replace(full, signals="both") if earns else replace(plain, signals="vectors")
    worth = list(claims(replace(engine, retrieval=chosen), drawn(1, footage)))
    chosen = replace(chosen, bias=chosen.bias - threshold(worth))
    over = footage if tested_footage is None else tested_footage
    tested = tuple(claims(replace(engine, retrieval=chosen), drawn(2, over)))
    return Calibration(retrieval=chosen, claims=tested)


def threshold(made: Sequence[Claim]) -> float:
    """The log odds of support below which "not found" costs least.

    Every miss costs `MISS_COSTS` false alarms, as shares of what is there and of what is not.
    Where a whole range of thresholds costs the same, it is the middle of the widest.
    """
    there = np.sort([_log_odds(each.support) for each in made if each.is_there])
    absent = np.sort([_log_odds(each.support) for each in made if not each.is_there])
    if not len(there) or not len(absent):
        raise ValueError("a threshold needs things that are there and things that are not")
    edges = np.unique(np.concatenate([there, absent]))
    if len(edges) < 2:
        return float(edges[0])
    # Every threshold between two neighbouring values decides alike.
    missed = np.searchsorted(there, edges[1:]) / len(there)
    alarmed = 1 - np.searchsorted(absent, edges[1:]) / len(absent)
    costs = MISS_COSTS * missed + alarmed
    least = np.flatnonzero(costs <= costs.min() + 1e-12)
    widest = max(least, key=lambda place: edges[place + 1] - edges[place])
    return float((edges[widest] + edges[widest + 1]) / 2)


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


def accuracy(retrieval: RetrievalConfig, judged: Sequence[Judged]) -> float:
    """Share of right decisions at support one half; both answers count alike."""
    weights = np.array([retrieval.per_cosine, retrieval.per_deviation, retrieval.per_attention])
    claimed = np.array([weights @ _row(each.signals) + retrieval.bias > 0 for each in judged])
    there = np.array([each.is_there for each in judged])
    return float((claimed[there].mean() + (~claimed[~there]).mean()) / 2)


def _row(signals: HitFeatures) -> Float64[np.ndarray, " signal"]:
    return np.array([signals.cosine, signals.deviation, signals.attention])


def _judged(engine: Engine, given: Iterable[Recording]) -> Iterator[Judged]:
    """Ask for each thing, and see what comes first; a wrong first hit counts as not there."""
    # Every signal is measured, whatever it will turn out to be worth.
    plain = replace(engine.retrieval, signals="both", bias=0.0, per_cosine=1.0, per_attention=1e-9)
    for recording, aside in ingested_one_by_one(replace(engine, retrieval=plain), given):
        spans = spans_of(recording.events)
        shown = [spans[name] for name in spans]
        for place, (text, is_there) in enumerate(asked(recording)):
            found = retrieve(aside, text, scope=WHOLE_VIDEO).found
            if found:
                first_s = found[0].hit.peak_s
                right = is_there and any(
                    # A sampled frame stands for the time until the next one.
                    span.start_s - 1 / recording.fps < first_s < span.end_s
                    for span in shown[place]
                )
                yield Judged(signals=found[0].signals, is_there=right)


def _log_odds(support: float) -> float:
    kept = min(max(support, 1e-13), 1 - 1e-13)
    return float(np.log(kept / (1 - kept)))
