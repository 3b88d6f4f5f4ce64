"""Records of a benchmark as rows: our score with its interval, baselines and chance beside it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np

from engine.evaluation.benchmark import EVERYTHING, Mean
from engine.evaluation.runner import Result

N_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The scores of one group of questions; all of them in [0, 1]."""

    group: str
    n: int
    """Samples; several tries of one count once."""
    n_unparsable: int
    """Questions whose answer named no choice; they count as wrong."""
    score: float
    low: float
    high: float
    """95 % interval, drawn over videos: questions about one video are not independent."""
    baselines: Mapping[str, float]
    """The same questions without the memory, by the name of the baseline."""
    chance: float | None
    """Score of guessing; `None` where there are no options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """A question, or the tries of one that count together."""

    task: str
    groups: frozenset[str]
    video: str
    score: float
    baselines: Mapping[str, float]
    chance: float | None
    n_unparsable: int


def tabulate(results: Sequence[Result], mean: Mean) -> tuple[ScoreRow, ...]:
    """Return a row for all questions, one for each task, and one for each further group.

    Args:
        results: Those of missing videos are left out.
        mean: How the tasks make up the score of everything.
    """
    samples = _samples(result for result in results if result.missing is None)
    if not samples:
        return ()
    tasks = list(dict.fromkeys(sample.task for sample in samples if sample.task))
    groups = dict.fromkeys(
        group for sample in samples for group in sorted(sample.groups) if group not in tasks
    )
    rows = [_row(EVERYTHING, samples, mean)]
    for task in tasks:
        rows.append(_row(task, [sample for sample in samples if sample.task == task], "questions"))
    for group in groups:
        chosen = [sample for sample in samples if group in sample.groups]
        # A family of types is scored as everything is.
        rows.append(_row(group, chosen, mean))
    return tuple(rows)


def _samples(results: Iterable[Result]) -> list[_Sample]:
    tries: dict[str, list[Result]] = {}
    for result in results:
        tries.setdefault(result.sample or result.id, []).append(result)
    samples = []
    for parts in tries.values():
        first = parts[0]
        chances = [1 / part.n_options for part in parts if part.n_options]
        names = [name for name in first.baselines if all(name in p.baselines for p in parts)]
        samples.append(
            _Sample(
                task=first.task,
                groups=frozenset(first.groups),
                video=first.video,
                score=min(part.score for part in parts),
                baselines={
                    name: min(part.baselines[name].score for part in parts) for name in names
                },
                chance=float(np.prod(chances)) if len(chances) == len(parts) else None,
                n_unparsable=sum(part.choice is None for part in parts),
            )
        )
    return samples


def _row(group: str, samples: Sequence[_Sample], mean: Mean) -> ScoreRow:
    def value(of: Callable[[_Sample], float]) -> float:
        return _mean([(sample.task, of(sample)) for sample in samples], mean)

    low, high = _interval(samples, mean)
    first = samples[0].baselines
    names = [name for name in first if all(name in sample.baselines for sample in samples)]
    chances = [sample.chance for sample in samples if sample.chance is not None]
    return ScoreRow(
        group=group,
        n=len(samples),
        n_unparsable=sum(sample.n_unparsable for sample in samples),
        score=value(lambda sample: sample.score),
        low=low,
        high=high,
        baselines={name: value(partial(_baseline_score, name)) for name in names},
        chance=fmean(chances) if len(chances) == len(samples) else None,
    )


def _baseline_score(name: str, sample: _Sample) -> float:
    return sample.baselines[name]


def _mean(scores: Sequence[tuple[str, float]], mean: Mean) -> float:
    if mean == "questions":
        return fmean(score for _, score in scores)
    by_task: dict[str, list[float]] = {}
    for task, score in scores:
        by_task.setdefault(task, []).append(score)
    return fmean(fmean(part) for part in by_task.values())


def _interval(samples: Sequence[_Sample], mean: Mean) -> tuple[float, float]:
    """Return the interval of a mean by drawing videos with all their questions."""
    videos = {video: idx for idx, video in enumerate(dict.fromkeys(s.video for s in samples))}
    names = {task: idx for idx, task in enumerate(dict.fromkeys(s.task for s in samples))}
    if mean == "questions":
        names = dict.fromkeys(names, 0)
    sums = np.zeros((len(videos), max(names.values()) + 1))
    counts = np.zeros_like(sums)
    for sample in samples:
        place = videos[sample.video], names[sample.task]
        sums[place] += sample.score
        counts[place] += 1
    # The same records give the same interval.
    rng = np.random.default_rng(len(samples))
    draws = rng.integers(len(videos), size=(N_DRAWS, len(videos)))
    drawn_sums, drawn_counts = sums[draws].sum(axis=1), counts[draws].sum(axis=1)
    shares = np.divide(
        drawn_sums, drawn_counts, out=np.full_like(drawn_sums, np.nan), where=drawn_counts > 0
    )
    low, high = np.quantile(np.nanmean(shares, axis=1), (0.025, 0.975))
    return float(low), float(high)
