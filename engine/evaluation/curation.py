"""Questions that only video answers, chosen from the records of several models: ApolloBench's way.

Dropped is what more than half of the models answer from the words alone, and what more than half
answer from one frame. Of the rest those stay on which the models differ most. Five categories
were given by hand in the paper; here a benchmark's own tasks decide, and a list of labels
overrides them.
Source: arXiv:2412.10360, section 3. The formula of its entropy was not published: ours is of the
options that the models chose, in bits.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from string import ascii_uppercase

from engine.evaluation.benchmarks.apollobench import CATEGORIES
from engine.evaluation.runner import Result
from engine.pipeline.query import strip_options

MOST_RIGHT = 0.5
"""Share of the models that may answer without the video."""
KEPT = 400
"""Questions of the paper's set."""

_OCR, _EGO, _SPATIAL, _PERCEPTION, _REASONING = CATEGORIES
_LETTERED = re.compile(r"^\(?[A-H][.)]\s*")
# By benchmark, then task or group; `None` stands for every other task of the benchmark.
_CATEGORIES: Mapping[str, Mapping[str | None, str]] = {
    "egoschema": {None: _EGO},
    "longvideobench": {
        **dict.fromkeys(
            ("E3E", "O3O", "SAA", "SOS", "SSS", "T3E", "T3O", "TAA", "TOS"), _REASONING
        ),
        None: _PERCEPTION,
    },
    "mlvu": {"ego": _EGO, "order": _REASONING, "topic_reasoning": _REASONING, None: _PERCEPTION},
    "nextqa": {"descriptive": _PERCEPTION, None: _REASONING},
    "perception_test": {"descriptive": _PERCEPTION, None: _REASONING},
    "tempcompass": {None: _PERCEPTION},
    "video_mme": {
        "OCR Problems": _OCR,
        "Spatial Perception": _SPATIAL,
        "Spatial Reasoning": _SPATIAL,
        "Temporal Reasoning": _REASONING,
        "Action Reasoning": _REASONING,
        "Object Reasoning": _REASONING,
        None: _PERCEPTION,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """A question that stays."""

    id: str
    video: str
    question: str
    options: tuple[str, ...]
    answer: str
    category: str
    source: str
    entropy: float
    """Of the options that the models chose, in bits."""


@dataclass(slots=True, kw_only=True)
class Curation:
    """The questions that stay, the most telling first, and why the others do not."""

    kept: list[Curated] = field(default_factory=list)
    by_text: int = 0
    """Dropped: words alone answer them."""
    by_frame: int = 0
    """Dropped: one frame answers them."""
    unlabelled: int = 0
    """Dropped: of no category."""
    unfit: int = 0
    """Dropped: no letter names their answer, or there are no baselines in their records."""
    beyond: int = 0
    """Dropped: models differ less on them than on those that stay."""


def curate(
    records: Sequence[tuple[str, Sequence[Result]]],
    *,
    most: int = KEPT,
    labels: Mapping[str, str] | None = None,
) -> Curation:
    """Choose questions by the records of several models.

    Args:
        records: A benchmark's name and the records of one model, for each run.
        most: Questions that stay.
        labels: Categories by `benchmark/id`, before those that follow from tasks.
    Raises:
        ValueError: A label is none of the five.
    """
    labels = labels or {}
    unknown = sorted(set(labels.values()) - set(CATEGORIES))
    if unknown:
        raise ValueError(f"no category {unknown[0]!r}; there are {', '.join(CATEGORIES)}")
    curation = Curation()
    for key, (name, results) in _by_question(records).items():
        first = results[0]
        if not _is_fit(results):
            curation.unfit += 1
        elif _share(results, "text_only") > MOST_RIGHT:
            curation.by_text += 1
        elif _share(results, "one_frame") > MOST_RIGHT:
            curation.by_frame += 1
        elif (category := labels.get(key) or category_of(name, first)) is None:
            curation.unlabelled += 1
        else:
            curation.kept.append(
                Curated(
                    id=key,
                    video=first.video,
                    question=strip_options(first.question),
                    options=tuple(_LETTERED.sub("", option) for option in first.options),
                    answer=first.wanted,
                    category=category,
                    source=name,
                    entropy=entropy_of([result.choice for result in results]),
                )
            )
    curation.kept.sort(key=lambda question: (-question.entropy, question.id))
    curation.beyond = max(0, len(curation.kept) - most)
    del curation.kept[most:]
    return curation


def category_of(benchmark: str, result: Result) -> str | None:
    """Return the category that a question's task or group belongs to; `None` where none does."""
    known = _CATEGORIES.get(benchmark)
    if known is None:
        return None
    for name in (result.task, *result.groups):
        if name in known:
            return known[name]
    return known[None]


def entropy_of(choices: Sequence[str | None]) -> float:
    """Return the entropy of what several models chose, in bits; no choice is one of its own."""
    counts = Counter(choices)
    shares = [count / len(choices) for count in counts.values()]
    return -sum(share * log2(share) for share in shares)


def _by_question(
    records: Sequence[tuple[str, Sequence[Result]]],
) -> dict[str, tuple[str, list[Result]]]:
    questions: dict[str, tuple[str, list[Result]]] = {}
    by_key: dict[str, list[Result]] = defaultdict(list)
    for name, results in records:
        for result in results:
            if result.missing is None:
                key = f"{name}/{result.id}"
                by_key[key].append(result)
                questions[key] = (name, by_key[key])
    return questions


def _is_fit(results: Sequence[Result]) -> bool:
    first = results[0]
    letters = ascii_uppercase[: len(first.options)]
    return (
        len(first.wanted) == 1
        and first.wanted in letters
        and all({"text_only", "one_frame"} <= set(result.baselines) for result in results)
    )


def _share(results: Sequence[Result], baseline: str) -> float:
    return sum(result.baselines[baseline].score for result in results) / len(results)
