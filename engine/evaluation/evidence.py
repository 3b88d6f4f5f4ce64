"""How well evidence is found by frame vectors, by attention to VST keys, and by both.

Every signal ranks the same chunks for the same questions: about drawn stories, in which much or
little happens, and about cards held up in foreign footage. Nothing is held back for weak support
here: when to say "not found" is another question, which `engine/probes/calibrate.py` answers.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
from jaxtyping import UInt8

from engine.evaluation.metrics import best_iou, bootstrap, covered, recall_at, wilson
from engine.media.frames import Frame
from engine.pipeline.assemble import Engine, assemble
from engine.pipeline.evidence import from_hits
from engine.pipeline.ingest import ingest
from engine.pipeline.retrieve import Scope, retrieve
from engine.pipeline.signals import Found, RetrievalConfig, SignalsUsed
from engine.records import MediaInfo, SampleStats, TimeSpan, VideoId
from engine.world.planted import plant_cards
from engine.world.questions import Question, questions_about
from engine.world.story import draw_story

LENGTHS = (64, 256, 1024)
"""Frames of a recording."""
EVENTS_PER_MINUTE = {"sparse": 1.5, "dense": 6.0}
FRAMES_EACH = 512
"""Frames of each length and setting: eight recordings of 64, and one where one is longer."""
QUESTIONS_EACH = 120
"""Most questions of each length and setting, chosen by chance."""
SEED = 81_000
"""Far from the seeds of training, of calibration and of the card's other tables."""
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""What attention may be worth beside the vectors, in units of support per deviation."""
_TOP = 5
_VIDEO = VideoId("evidence")
_SCOPE: Scope = [(_VIDEO, TimeSpan(start_s=0.0, end_s=float("inf")))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Frames, what may be asked about them, and how to call the setting."""

    setting: str
    fps: float
    pixels: Iterable[UInt8[np.ndarray, "h w 3"]]
    questions: tuple[Question, ...]
    n_frames: int


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


def recordings(
    fps: float,
    haystack: Sequence[UInt8[np.ndarray, "h w 3"]] = (),
    *,
    lengths: Sequence[int] = LENGTHS,
    frames_each: int = FRAMES_EACH,
    questions_each: int = QUESTIONS_EACH,
    seed: int = SEED,
) -> Iterator[Recording]:
    """Stories of every length and density, and cards in the haystack where there is one."""
    for length in lengths:
        count = max(1, frames_each // length)
        for first in range(seed, seed + count):
            some = partial(_some, most=-(-questions_each // count), seed=first)
            for density, per_minute in EVENTS_PER_MINUTE.items():
                story = draw_story(first, length / fps, fps, events_per_minute=per_minute)
                yield Recording(
                    setting=f"drawn, {density}",
                    fps=fps,
                    pixels=story,
                    questions=some(questions_about(story.events)),
                    n_frames=length,
                )
            if haystack:
                planted = plant_cards(haystack, seed=first, fps=fps, n_frames=length)
                yield Recording(
                    setting="cards in footage",
                    fps=fps,
                    pixels=planted,
                    questions=some(questions_about(planted.events)),
                    n_frames=length,
                )


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
    for recording, asked in _taken_in(engine, about):
        on_recording(recording)
        for signals, config in configs.items():
            by = replace(asked, retrieval=config)
            for question in recording.questions:
                yield _trial(by, recording, question, signals)


def best_weight(engine: Engine, about: Iterable[Recording]) -> float:
    """What attention should count beside the vectors: most first hits right, the least such."""
    seen: list[tuple[Question, tuple[Found, ...]]] = []
    for recording, asked in _taken_in(engine, about):
        # So little that the vectors' order stays, yet the pass that measures attention is made.
        by = replace(asked, retrieval=replace(engine.retrieval, signals="both", per_attention=1e-9))
        for question in recording.questions:
            if len(question.spans) == 1:
                seen.append((question, retrieve(by, question.text, scope=_SCOPE).found))
    config = engine.retrieval

    def right(weight: float) -> int:
        def worth(each: Found) -> float:
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


def _some(asked: Sequence[Question], *, most: int, seed: int) -> tuple[Question, ...]:
    # A count is proved by every moment together, not by one of them.
    questions = [each for each in asked if each.kind != "count"]
    order = np.random.default_rng([seed, 31]).permutation(len(questions))[:most]
    return tuple(questions[place] for place in sorted(order))


@dataclass
class _Footage:
    """Frames with the face of a reader."""

    recording: Recording
    info: MediaInfo = field(init=False)
    stats: SampleStats = field(default_factory=SampleStats)

    def __post_init__(self) -> None:
        self.info = MediaInfo(
            uri="drawn", container="none", video_codec=None, fps=self.recording.fps,
            height_px=0, width_px=0, duration_s=self.recording.n_frames / self.recording.fps,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Frame]:
        for place, pixels in enumerate(self.recording.pixels):
            yield Frame(pixels=pixels, pts_s=place / self.recording.fps)


def _taken_in(engine: Engine, about: Iterable[Recording]) -> Iterator[tuple[Recording, Engine]]:
    """Each recording in an engine of its own library, for as long as it is asked about."""
    with tempfile.TemporaryDirectory(prefix="longwatch-evidence-") as folder:
        config = replace(
            engine.config, latents_folder=Path(folder), index_folder=Path(folder), durable=False
        )
        asked = assemble(config, model=engine.model)
        for recording in about:
            for _ in ingest(asked, _VIDEO, _Footage(recording)):
                pass
            yield recording, asked
            asked.forget(_VIDEO)


def _trial(engine: Engine, recording: Recording, question: Question, signals: SignalsUsed) -> Trial:
    started = time.perf_counter()
    retrieved = retrieve(engine, question.text, scope=_SCOPE)
    evidence = from_hits(engine, retrieved, scope=_SCOPE, least_support=0.0)
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
