"""A run over a benchmark: one record per question, resumed where an earlier run stopped."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.evaluation.metrics import best_iou, covered, recall_at
from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import FrameSource, ingest
from engine.protocols import Benchmark, BenchmarkQuestion, Sampling
from engine.records import ALL_TIME, Answer, Recall, VideoId

OpenFrames = Callable[[Path], AbstractContextManager[FrameSource]]
"""Opens a video as the engine's sampling says; foreign media belongs into a sandbox."""

ANSWER_TOKENS = 64
"""Benchmark answers are a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One question, its answer, and how right words and evidence were."""

    id: str
    question: str
    wanted: str
    answer: str
    score: float
    recall: Recall
    n_evidence: int
    evidence_iou: float | None
    """Of the best evidence with the moment asked for; `None` where the benchmark states none."""
    evidence_hit_at_1: bool | None
    evidence_covered: float | None
    first_token_ms: float


def run(
    engine: Engine,
    benchmark: Benchmark,
    root: Path,
    results: Path,
    open_frames: OpenFrames,
    *,
    recall: Recall | None = None,
) -> Iterator[Result]:
    """Ask every question that has no record yet; each video is ingested once.

    Args:
        engine: Its cache keeps the videos, so that another run asks without reading them again.
        benchmark: A file of `engine/evaluation/benchmarks`.
        root: A local copy of its data.
        results: JSON lines; questions in it are not asked again.
        open_frames: How a video is opened.
        recall: For every question; `None` decides by its wording.
    """
    kept = read(results)
    done = {result.id for result in kept}
    results.parent.mkdir(parents=True, exist_ok=True)
    # A line that a kill cut off goes first: the next record would be appended to it.
    results.write_text("".join(_line(result) for result in kept), encoding="utf-8")
    for question in benchmark.questions(root):
        if question.id in done:
            continue
        video = _ingest_once(engine, question.video, open_frames)
        result = _ask(engine, benchmark, question, video, recall)
        with results.open("a", encoding="utf-8") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())
        yield result


def read(results: Path) -> tuple[Result, ...]:
    """Read the records of earlier runs; a line that was cut off by a kill is left out."""
    if not results.is_file():
        return ()
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(_parse(line) for line in lines if line.endswith("}\n"))


def _parse(line: str) -> Result:
    fields = json.loads(line)
    if "said" in fields:  # The name that the first version wrote.
        fields["answer"] = fields.pop("said")
    return Result(**fields)


def _line(result: Result) -> str:
    return json.dumps(asdict(result)) + "\n"


def mean_score(results: Sequence[Result]) -> float:
    """Return the mean over all questions; 0 where there are none."""
    return sum(result.score for result in results) / len(results) if results else 0.0


def _ingest_once(engine: Engine, path: Path, open_frames: OpenFrames) -> VideoId:
    """Ingest a video unless it was before, and return its name in the cache."""
    stamp = f"{path.resolve()} {path.stat().st_size}"
    video = VideoId(f"{path.stem[:40]}-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}")
    video = VideoId("".join(c if c.isalnum() or c in "._-" else "_" for c in video))
    finished = engine.config.index_folder / f"{engine.fingerprint}.{video}.done"
    if not finished.exists():
        with open_frames(path) as frames:
            for _ in ingest(engine, video, frames):
                pass
        engine.save_index()
        finished.touch()
    return video


def _ask(
    engine: Engine,
    benchmark: Benchmark,
    question: BenchmarkQuestion,
    video: VideoId,
    recall: Recall | None,
) -> Result:
    *_, final = answer(
        engine,
        question.text,
        scope=[(video, ALL_TIME)],
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        recall=recall,
    )
    assert isinstance(final, Answer)
    spans = [evidence.span for evidence in final.evidence]
    wanted = question.span
    return Result(
        id=question.id,
        question=question.text,
        wanted=question.answer,
        answer=final.text,
        score=benchmark.score(final.text, question),
        recall=final.recall,
        n_evidence=len(spans),
        evidence_iou=None if wanted is None else best_iou(spans, wanted),
        evidence_hit_at_1=None if wanted is None else recall_at(spans, [wanted], 1) > 0,
        evidence_covered=None if wanted is None else covered(spans, wanted),
        first_token_ms=final.timing.first_token_ms,
    )
