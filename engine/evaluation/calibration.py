"""Calibration: how much a checkpoint's retrieval features are worth, so it can say "not found".

No cosine means the same in two checkpoints, and in few for two questions. Here a model is asked,
over recordings whose events are known, for things that are there and for near misses that are
not. A logistic regression weighs cosine, deviation and attention; other recordings then place
the threshold, and yet others show how often it is wrong. The result belongs beside the weights,
as `retrieval.json`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from engine.evaluation.abstention import Claim, claims, existence_questions
from engine.evaluation.scratch_engine import WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.config import RetrievalConfig
from engine.pipeline.engine import Engine
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import HitFeatures
from engine.synthetic.cards_in_footage import spans_of
from engine.synthetic.recordings import LENGTHS, Recording, recordings

Footage = Sequence[UInt8[np.ndarray, "h w 3"]]

FILE = "retrieval.json"
FRAMES_EACH = 512
"""Frames of each length and setting, in each of the three sets of recordings."""
SEEDS_APART = 100
"""Between the first seeds of the sets."""
MISS_COSTS = 2.0
"""Cost of a miss in false alarms: a false alarm still reaches the model, which may deny
what it does not see, but after a miss nobody looks."""
ATTENTION_EARNS = 0.01
"""Accuracy that the attention signal must add to be used at all."""
_SHRINK = 1e-3
"""Weight decay of the fit: keeps weights finite where a signal separates perfectly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedHit:
    """Features of the hit that came first for a question, and whether the thing was there."""

    features: HitFeatures
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted retrieval, and its claims about recordings that had no part in the fit."""

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
    """Fit the weights, set the threshold, and test both, on three sets of recordings.

    Args:
        engine: Whose model to measure; its library stays untouched.
        footage: Real frames in which cards are held up, beside drawn stories.
        tested_footage: Those of the test; `footage` when `None`.
        lengths: Frames of the recordings.
        frames_each: Frames of each length and setting, in each set.
        seed: Of the first recording.
    Raises:
        ValueError: The sets would share recordings.
    """
    if frames_each // min(lengths) > SEEDS_APART:
        raise ValueError(
            f"frames_each must be at most {SEEDS_APART * min(lengths)} for recordings of "
            f"{min(lengths)} frames, not {frames_each}"
        )
    fps = float(engine.sampling.fps)

    def draw(set_idx: int, footage: Footage) -> Iterator[Recording]:
        first_seed = seed + set_idx * SEEDS_APART
        return recordings(fps, footage, lengths=lengths, frames_each=frames_each, seed=first_seed)

    # Three sets that share no recording: an error rate on what was fitted would flatter.
    hits = list(_judge_hits(engine, draw(0, footage)))
    plain, full = (fit(engine.retrieval, hits, use_attention=use) for use in (False, True))
    # Attention costs a pass over the candidates with every question: it has to earn it.
    is_earned = accuracy(full, hits) > accuracy(plain, hits) + ATTENTION_EARNS
    fitted = replace(full, signals="both") if is_earned else replace(plain, signals="vectors")
    placing = list(claims(replace(engine, retrieval=fitted), draw(1, footage)))
    fitted = replace(fitted, bias=fitted.bias - threshold(placing))
    test_footage = footage if tested_footage is None else tested_footage
    tested = tuple(claims(replace(engine, retrieval=fitted), draw(2, test_footage)))
    return Calibration(retrieval=fitted, claims=tested)


def threshold(claims: Sequence[Claim]) -> float:
    """Return the log odds of support below which "not found" costs least.

    Every miss costs `MISS_COSTS` false alarms, as shares of what is there and of what is not.
    Where a whole range of thresholds costs the same, it is the middle of the widest.
    """
    there = np.sort([_log_odds(claim.support) for claim in claims if claim.is_there])
    absent = np.sort([_log_odds(claim.support) for claim in claims if not claim.is_there])
    if not len(there) or not len(absent):
        raise ValueError("a threshold needs things that are there and things that are not")
    edges = np.unique(np.concatenate([there, absent]))
    if len(edges) < 2:
        return float(edges[0])
    # Every threshold between two neighbouring values decides alike.
    missed = np.searchsorted(there, edges[1:]) / len(there)
    alarmed = 1 - np.searchsorted(absent, edges[1:]) / len(absent)
    costs = MISS_COSTS * missed + alarmed
    cheapest = np.flatnonzero(costs <= costs.min() + 1e-12)
    widest = max(cheapest, key=lambda idx: edges[idx + 1] - edges[idx])
    return float((edges[widest] + edges[widest + 1]) / 2)


def fit(
    start: RetrievalConfig, hits: Sequence[JudgedHit], *, use_attention: bool = True
) -> RetrievalConfig:
    """Fit weights by logistic regression; both answers count alike, no weight is negative."""
    rows = np.array([_row(hit.features) for hit in hits])
    if not use_attention:
        rows[:, 2] = 0.0
    there = np.array([hit.is_there for hit in hits], dtype=np.float64)
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
    """Write a measured retrieval beside a checkpoint's weights, and return the path."""
    path = folder / FILE
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(retrieval).items()
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    return path


def _regress(
    rows: Float64[np.ndarray, "sample feature"], there: Float64[np.ndarray, " sample"]
) -> tuple[Float64[np.ndarray, " feature"], float]:
    """Minimise by projected gradient descent: small, convex, and the same on every machine."""
    weights, bias = np.zeros(rows.shape[1]), 0.0
    share = np.where(there > 0, 0.5 / there.sum(), 0.5 / (len(there) - there.sum()))
    for _ in range(20_000):
        miss = share * (1 / (1 + np.exp(-np.clip(rows @ weights + bias, -30, 30))) - there)
        weights = np.maximum(weights - 2.0 * (rows.T @ miss + _SHRINK * weights), 0.0)
        bias -= 2.0 * float(miss.sum())
    return weights, bias


def accuracy(retrieval: RetrievalConfig, hits: Sequence[JudgedHit]) -> float:
    """Return the share of right decisions at support one half; both answers count alike."""
    weights = np.array([retrieval.per_cosine, retrieval.per_deviation, retrieval.per_attention])
    claimed = np.array([weights @ _row(hit.features) + retrieval.bias > 0 for hit in hits])
    there = np.array([hit.is_there for hit in hits])
    return float((claimed[there].mean() + (~claimed[~there]).mean()) / 2)


def _row(features: HitFeatures) -> Float64[np.ndarray, " feature"]:
    return np.array([features.cosine, features.deviation, features.attention])


def _judge_hits(engine: Engine, drawn: Iterable[Recording]) -> Iterator[JudgedHit]:
    """Ask for each thing and judge the first hit; a wrong one counts as not there."""
    # Every feature is measured, whatever it will turn out to be worth: an attention of weight
    # zero would not be.
    plain = replace(engine.retrieval, signals="both", bias=0.0, per_cosine=1.0, per_attention=1e-9)
    for recording, scratch in ingested_one_by_one(replace(engine, retrieval=plain), drawn):
        shown = list(spans_of(recording.events).values())
        for idx, (text, is_there) in enumerate(existence_questions(recording)):
            hits = retrieve(scratch, parse(text), scope=WHOLE_VIDEO).hits
            if hits:
                first_s = hits[0].hit.peak_s
                is_right = is_there and any(
                    # A sampled frame stands for the time until the next one.
                    span.start_s - 1 / recording.fps < first_s < span.end_s
                    for span in shown[idx]
                )
                yield JudgedHit(features=hits[0].features, is_there=is_right)


def _log_odds(support: float) -> float:
    # Scoring clips support at log odds of 30, which is this close to 0 and 1.
    clipped = min(max(support, 1e-13), 1 - 1e-13)
    return float(np.log(clipped / (1 - clipped)))
