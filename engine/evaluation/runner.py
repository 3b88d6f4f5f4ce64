"""Walks a benchmark, resumes where it stopped, and writes one record per question."""

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
from engine.protocols import Benchmark, Question, Sampling
from engine.records import Answer, Recall, TimeSpan, VideoId

OpenFrames = Callable[[Path], AbstractContextManager[FrameSource]]
"""Opens a video as the engine's sampling says; foreign media belongs into a sandbox."""

ANSWER_TOKENS = 64
_ALL = TimeSpan(start_s=0.0, end_s=float("inf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One question, what was said, and how right words and evidence were."""

    id: str
    question: str
    wanted: str
    said: str
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
    """Ask every question that has no record yet; each video is taken in once.

    Args:
        engine: Its cache keeps the videos, so that another run asks without reading them again.
        benchmark: A file of `engine/evaluation/benchmarks`.
        root: A local copy of its data.
        results: JSON lines; questions in it are not asked again.
        open_frames: How a video is opened.
        recall: For every question; `None` decides by its wording.
    """
    kept = read(results)
    done = {each.id for each in kept}
    results.parent.mkdir(parents=True, exist_ok=True)
    # Without what a kill cut off, on which the next record would end up.
    results.write_text("".join(_line(each) for each in kept), encoding="utf-8")
    for question in benchmark.questions(root):
        if question.id in done:
            continue
        video = _taken_in(engine, question.video, open_frames)
        result = _asked(engine, benchmark, question, video, recall)
        with results.open("a", encoding="utf-8") as file:
            file.write(_line(result))
            file.flush()
            os.fsync(file.fileno())
        yield result


def read(results: Path) -> tuple[Result, ...]:
    """The records of earlier runs; a line that was cut off by a kill is left out."""
    if not results.is_file():
        return ()
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(Result(**json.loads(line)) for line in lines if line.endswith("}\n"))


def _line(result: Result) -> str:
    return json.dumps(asdict(result)) + "\n"


def mean_score(results: Sequence[Result]) -> float:
    """Mean over all questions; 0 where there are none."""
    return sum(each.score for each in results) / len(results) if results else 0.0


def _taken_in(engine: Engine, path: Path, open_frames: OpenFrames) -> VideoId:
    """The video's name in the cache, taken in unless it is there already."""
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


def _asked(
    engine: Engine, benchmark: Benchmark, question: Question, video: VideoId, recall: Recall | None
) -> Result:
    *_, said = answer(
        engine,
        question.text,
        scope=[(video, _ALL)],
        sampling=Sampling(max_tokens=ANSWER_TOKENS),
        recall=recall,
    )
    assert isinstance(said, Answer)
    spans = [each.span for each in said.evidence]
    wanted = question.span
    return Result(
        id=question.id,
        question=question.text,
        wanted=question.answer,
        said=said.text,
        score=benchmark.score(said.text, question),
        recall=said.recall,
        n_evidence=len(spans),
        evidence_iou=None if wanted is None else best_iou(spans, wanted),
        evidence_hit_at_1=None if wanted is None else recall_at(spans, [wanted], 1) > 0,
        evidence_covered=None if wanted is None else covered(spans, wanted),
        first_token_ms=said.timing.first_token_ms,
    )
