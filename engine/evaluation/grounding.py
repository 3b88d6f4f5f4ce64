"""Grounding: how well frame vectors, attention to latents, and both find the evidence.

Every signal ranks the same chunks for the same questions: about drawn stories, in which much or
little happens, and about cards held up in foreign footage. Nothing is held back for weak support
here: when to say "not found" is another question, which `engine/evaluation/calibration.py` answers.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from engine.evaluation.metrics import best_iou, bootstrap, covered, recall_at, wilson
from engine.evaluation.scratch_engine import WHOLE_VIDEO, ingested_one_by_one
from engine.pipeline.config import RetrievalConfig, SignalsUsed
from engine.pipeline.engine import Engine
from engine.pipeline.evidence import from_hits
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import ScoredHit
from engine.synthetic.questions import Question, questions_about
from engine.synthetic.recordings import Recording

FRAMES_EACH = 512
"""Frames of each length and setting: eight recordings of 64, or one that is longer."""
QUESTIONS_EACH = 120
"""Most questions about `FRAMES_EACH` frames, or about one longer recording; drawn at random."""
SEED = 81_000
"""Far from the seeds of training, of calibration and of the card's other tables."""
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights of attention that are tried beside the vectors, in log odds per deviation."""
_TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Evidence that one signal found for one question, and how good it was."""

    setting: str
    n_frames: int
    signals: SignalsUsed
    kind: str
    hit_at_1: bool
    """Whether the first evidence meets a moment that proves the answer."""
    hit_at_5: bool
    """Whether the first five meet every such moment: two where things are compared."""
    iou: float
    """Of the best of the first five with each moment, on average."""
    covered: float
    """Share of each moment that the first five cover, on average."""
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingRow:
    """One signal over the questions of one setting, or of one kind."""

    signals: SignalsUsed
    group: str
    n: int
    hit_at_1: Mean
    hit_at_5: Mean
    iou: Mean
    covered: Mean
    median_ms: float


def signal_configs(engine: Engine, weight: float) -> dict[SignalsUsed, RetrievalConfig]:
    """Return the engine's retrieval by each signal; attention has this weight in `both`."""
    return {
        signals: replace(engine.retrieval, signals=signals, per_attention=weight)
        for signals in get_args(SignalsUsed)
    }


def measure(
    engine: Engine,
    recordings: Iterable[Recording],
    configs: Mapping[SignalsUsed, RetrievalConfig],
    *,
    on_recording: Callable[[Recording], None] = lambda recording: None,
) -> Iterator[Trial]:
    """Ask every question of every recording by every signal; the engine's library is untouched.

    Cost: a recording goes through the towers once; attention alone looks at every chunk for
    every question.
    """
    for recording, scratch in ingested_one_by_one(engine, recordings):
        on_recording(recording)
        for signals, config in configs.items():
            for question in _sample_questions(recording):
                yield _trial(replace(scratch, retrieval=config), recording, question, signals)


def best_weight(engine: Engine, recordings: Iterable[Recording]) -> float:
    """Return the weight of attention that gets most first hits right; the least of equals."""
    candidates: list[tuple[Question, tuple[ScoredHit, ...]]] = []
    # So little that the vectors' order stays, yet the pass that measures attention is made.
    config = replace(engine.retrieval, signals="both", per_attention=1e-9)
    for recording, scratch in ingested_one_by_one(engine, recordings):
        measured = replace(scratch, retrieval=config)
        for question in _sample_questions(recording):
            if len(question.spans) == 1:
                retrieved = retrieve(measured, parse(question.text), scope=WHOLE_VIDEO)
                candidates.append((question, retrieved.hits))

    def n_right(weight: float) -> int:
        def log_odds(hit: ScoredHit) -> float:
            features = hit.features
            plain = config.per_cosine * features.cosine + config.per_deviation * features.deviation
            return plain + weight * features.attention

        firsts = ((question, max(hits, key=log_odds)) for question, hits in candidates if hits)
        return sum(
            any(first.hit.chunk.span.overlap_s(span) > 0 for span in question.spans)
            for question, first in firsts
        )

    return max(WEIGHTS, key=lambda weight: (n_right(weight), -weight))


def tabulate(trials: Sequence[Trial], group: Callable[[Trial], str]) -> tuple[GroundingRow, ...]:
    """Return a row for each group and signal, groups in the order they came."""
    groups: dict[tuple[str, SignalsUsed], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((group(trial), trial.signals), []).append(trial)
    order = list(dict.fromkeys(name for name, _ in groups))
    rows = (_row(name, signals, members) for (name, signals), members in groups.items())
    return tuple(sorted(rows, key=lambda row: order.index(row.group)))


def by_setting(trial: Trial) -> str:
    """Return the group of a trial: where and how long."""
    return f"{trial.setting}, {trial.n_frames} frames"


def by_kind(trial: Trial) -> str:
    """Return the group of a trial: what was asked."""
    return trial.kind


def _sample_questions(recording: Recording) -> tuple[Question, ...]:
    # A count is proved by every moment together, not by one of them.
    questions = [item for item in questions_about(recording.events) if item.kind != "count"]
    n_frames = recording.n_frames
    most = math.ceil(QUESTIONS_EACH * n_frames / max(FRAMES_EACH, n_frames))
    order = np.random.default_rng([len(questions), n_frames]).permutation(len(questions))[:most]
    return tuple(questions[idx] for idx in sorted(order))


def _trial(engine: Engine, recording: Recording, question: Question, signals: SignalsUsed) -> Trial:
    started = time.perf_counter()
    retrieved = retrieve(engine, parse(question.text), scope=WHOLE_VIDEO)
    evidence = from_hits(engine, retrieved, least_support=0.0)
    ms = (time.perf_counter() - started) * 1000
    spans = [moment.span for moment in evidence[:_TOP]]
    proofs = question.spans
    return Trial(
        setting=recording.setting,
        n_frames=recording.n_frames,
        signals=signals,
        kind=question.kind,
        hit_at_1=recall_at(spans, proofs, 1) > 0,
        hit_at_5=recall_at(spans, proofs, _TOP) == 1,
        iou=statistics.fmean(best_iou(spans, proof) for proof in proofs),
        covered=statistics.fmean(covered(spans, proof) for proof in proofs),
        ms=ms,
    )


def _row(group: str, signals: SignalsUsed, trials: Sequence[Trial]) -> GroundingRow:
    return GroundingRow(
        signals=signals,
        group=group,
        n=len(trials),
        hit_at_1=_share([trial.hit_at_1 for trial in trials]),
        hit_at_5=_share([trial.hit_at_5 for trial in trials]),
        iou=_mean([trial.iou for trial in trials]),
        covered=_mean([trial.covered for trial in trials]),
        median_ms=statistics.median(trial.ms for trial in trials),
    )


def _share(right: Sequence[bool]) -> Mean:
    low, high = wilson(sum(right), len(right))
    return Mean(value=sum(right) / len(right), low=low, high=high)


def _mean(values: Sequence[float]) -> Mean:
    low, high = bootstrap(values)
    return Mean(value=statistics.fmean(values), low=low, high=high)
