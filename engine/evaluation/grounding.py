"""How well evidence is found by frame vectors, by attention to VST keys, and by both.

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
from engine.pipeline.engine import Engine
from engine.pipeline.evidence import from_hits
from engine.pipeline.retrieve import retrieve
from engine.pipeline.scoring import RetrievalConfig, ScoredHit, SignalsUsed
from engine.synthetic.questions import Question, questions_about
from engine.synthetic.recordings import Recording

FRAMES_EACH = 512
"""Frames of each length and setting: eight recordings of 64, and one where one is longer."""
QUESTIONS_EACH = 120
"""Most questions about so many frames, or about one longer recording; chosen by chance."""
SEED = 81_000
"""Far from the seeds of training, of calibration and of the card's other tables."""
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""What attention may be worth beside the vectors, in units of support per deviation."""
_TOP = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one signal found for one question."""

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
class Row:
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
    """The engine's retrieval by each signal; `weight` is what attention counts in `both`."""
    return {
        signals: replace(engine.retrieval, signals=signals, per_attention=weight)
        for signals in get_args(SignalsUsed)
    }


def measure(
    engine: Engine,
    about: Iterable[Recording],
    configs: Mapping[SignalsUsed, RetrievalConfig],
    *,
    on_recording: Callable[[Recording], None] = lambda recording: None,
) -> Iterator[Trial]:
    """Ask every question of every recording by every signal; the engine's library is untouched.

    Cost: a recording goes through the towers once; attention alone looks at every chunk for
    every question.
    """
    for recording, asked in ingested_one_by_one(engine, about):
        on_recording(recording)
        for signals, config in configs.items():
            by = replace(asked, retrieval=config)
            for question in _asked(recording):
                yield _trial(by, recording, question, signals)


def best_weight(engine: Engine, about: Iterable[Recording]) -> float:
    """What attention should count beside the vectors: most first hits right, the least such."""
    seen: list[tuple[Question, tuple[ScoredHit, ...]]] = []
    for recording, asked in ingested_one_by_one(engine, about):
        # So little that the vectors' order stays, yet the pass that measures attention is made.
        by = replace(asked, retrieval=replace(engine.retrieval, signals="both", per_attention=1e-9))
        for question in _asked(recording):
            if len(question.spans) == 1:
                seen.append((question, retrieve(by, question.text, scope=WHOLE_VIDEO).found))
    config = engine.retrieval

    def right(weight: float) -> int:
        def worth(each: ScoredHit) -> float:
            signals = each.signals
            plain = config.per_cosine * signals.cosine + config.per_deviation * signals.deviation
            return plain + weight * signals.attention

        firsts = ((question, max(found, key=worth)) for question, found in seen if found)
        return sum(
            any(first.hit.chunk.span.overlap_s(span) > 0 for span in question.spans)
            for question, first in firsts
        )

    return max(WEIGHTS, key=lambda weight: (right(weight), -weight))


def tabulate(trials: Sequence[Trial], group: Callable[[Trial], str]) -> tuple[Row, ...]:
    """One row for each group and signal, groups in the order they came."""
    groups: dict[tuple[str, SignalsUsed], list[Trial]] = {}
    for each in trials:
        groups.setdefault((group(each), each.signals), []).append(each)
    order = list(dict.fromkeys(name for name, _ in groups))
    rows = (_row(name, signals, some) for (name, signals), some in groups.items())
    return tuple(sorted(rows, key=lambda row: order.index(row.group)))


def by_setting(trial: Trial) -> str:
    """The group of a trial: where and how long."""
    return f"{trial.setting}, {trial.n_frames} frames"


def by_kind(trial: Trial) -> str:
    """The group of a trial: what was asked."""
    return trial.kind


def _asked(recording: Recording) -> tuple[Question, ...]:
    # A count is proved by every moment together, not by one of them.
    asked = [each for each in questions_about(recording.events) if each.kind != "count"]
    n_frames = recording.n_frames
    most = math.ceil(QUESTIONS_EACH * n_frames / max(FRAMES_EACH, n_frames))
    order = np.random.default_rng([len(asked), n_frames]).permutation(len(asked))[:most]
    return tuple(asked[place] for place in sorted(order))


def _trial(engine: Engine, recording: Recording, question: Question, signals: SignalsUsed) -> Trial:
    started = time.perf_counter()
    retrieved = retrieve(engine, question.text, scope=WHOLE_VIDEO)
    evidence = from_hits(engine, retrieved, scope=WHOLE_VIDEO, least_support=0.0)
    ms = (time.perf_counter() - started) * 1000
    spans = [each.span for each in evidence[:_TOP]]
    wanted = question.spans
    return Trial(
        setting=recording.setting,
        n_frames=recording.n_frames,
        signals=signals,
        kind=question.kind,
        hit_at_1=recall_at(spans, wanted, 1) > 0,
        hit_at_5=recall_at(spans, wanted, _TOP) == 1,
        iou=statistics.fmean(best_iou(spans, each) for each in wanted),
        covered=statistics.fmean(covered(spans, each) for each in wanted),
        ms=ms,
    )


def _row(group: str, signals: SignalsUsed, trials: Sequence[Trial]) -> Row:
    return Row(
        signals=signals,
        group=group,
        n=len(trials),
        hit_at_1=_share([each.hit_at_1 for each in trials]),
        hit_at_5=_share([each.hit_at_5 for each in trials]),
        iou=_mean([each.iou for each in trials]),
        covered=_mean([each.covered for each in trials]),
        median_ms=statistics.median(each.ms for each in trials),
    )


def _share(right: Sequence[bool]) -> Mean:
    low, high = wilson(sum(right), len(right))
    return Mean(value=sum(right) / len(right), low=low, high=high)


def _mean(values: Sequence[float]) -> Mean:
    low, high = bootstrap(values)
    return Mean(value=statistics.fmean(values), low=low, high=high)
