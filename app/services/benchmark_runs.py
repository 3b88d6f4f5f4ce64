"""Benchmarks of the field over a local copy of their data: listed, run, and set beside papers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import cast

from app.config.engine_config import media_limits
from app.progress import ProgressCallback, ProgressUpdate, no_progress
from app.sandbox.reader import SandboxedReader, SandboxedSound
from app.schemas.evaluation import (
    BenchmarkItem,
    BenchmarksResponse,
    EvalResponse,
    PublishedItem,
    ScoreItem,
    ShareItem,
)
from app.services.context import ServiceContext
from engine import plugins
from engine.evaluation import benchmarks
from engine.evaluation.benchmark import Benchmark, BenchmarkCard
from engine.evaluation.ingest_once import OpenedVideo, ingest_once
from engine.evaluation.metrics import accuracy
from engine.evaluation.picture_folder import PictureFolder
from engine.evaluation.runner import Result
from engine.evaluation.runner import read as read_results
from engine.evaluation.runner import run as run_benchmark
from engine.evaluation.scoreboard import ScoreRow, tabulate
from engine.pipeline.answer import answer
from engine.pipeline.query import parse
from engine.plural import counted
from engine.protocols import Sampling
from engine.records import ALL_TIME, Answer, Recall

DEFINES = ("CARD", "questions", "choose", "score")
"""What a file of `engine/evaluation/benchmarks` defines."""

REASONS_SHOWN = 3


def list_benchmarks() -> BenchmarksResponse:
    """Return every benchmark with what it measures, its size and its licence."""
    items = []
    for name in plugins.names(benchmarks):
        card = load_benchmark(name).CARD
        items.append(
            BenchmarkItem(
                name=name,
                title=card.title,
                measures=card.measures,
                size=card.size,
                licence=card.licence,
                files=card.files,
                source=card.source,
            )
        )
    return BenchmarksResponse(benchmarks=items)


def load_benchmark(name: str) -> Benchmark:
    """Return a benchmark by its name.

    Raises:
        NotFoundError: There is none; the message lists what there is.
    """
    return cast(Benchmark, plugins.load(benchmarks, name, defines=DEFINES))


def evaluate(
    context: ServiceContext,
    name: str,
    root: Path,
    results: Path,
    *,
    recall: Recall | None = None,
    report: ProgressCallback = no_progress,
) -> EvalResponse:
    """Ask the questions of a benchmark that have no record yet.

    Args:
        name: A file of `engine/evaluation/benchmarks`.
        root: A local copy of its data.
        results: JSON lines, one a question.
        recall: For every question; `None` decides by its wording.
    """
    benchmark = load_benchmark(name)
    steps = run_benchmark(
        context.engine,
        benchmark,
        root,
        results,
        lambda path: open_video(context, path),
        recall=recall,
    )
    for n_done, step in enumerate(steps, start=1):
        report(ProgressUpdate(what=name, done=n_done, total=None, note=step.id))
    card = context.engine.model.card
    return describe_results(
        name, benchmark, read_results(results), model=f"{card.family}/{card.variant}", file=results
    )


def describe_interruption(results: Path) -> str:
    """Return what an interrupted run has kept, and how to go on."""
    n_kept = sum(result.missing is None for result in read_results(results))
    return (
        f"stopped; {counted(n_kept, 'record')} in {results} are kept; "
        "the same command goes on there"
    )


def answer_about(
    context: ServiceContext,
    videos: Sequence[Path],
    question: str,
    *,
    recall: Recall | None = None,
    sampling: Sampling | None = None,
) -> str:
    """Return what the model answers about videos, each of them read once.

    Args:
        videos: None of them asks the words alone.
        recall: How much of the past to recall; `None` decides by the question's wording.
    Raises:
        InputRefusedError: A video cannot be read.
    """
    engine = context.engine
    scope = [
        (ingest_once(engine, path, lambda path: open_video(context, path)), ALL_TIME)
        for path in videos
    ]
    if not scope:
        tokens = engine.model.generate(question, (), sampling or Sampling())
        return "".join(token.text for token in tokens).strip()
    *_, final = answer(
        engine,
        question,
        scope=scope,
        sampling=sampling,
        # A recall that is given has the model answer, whatever was found.
        recall=recall or parse(question).recall,
        with_remark=False,
    )
    assert isinstance(final, Answer)
    return final.text


def describe_results(
    name: str, benchmark: Benchmark, kept: Sequence[Result], *, model: str, file: Path
) -> EvalResponse:
    """Return the records of a benchmark as its document."""
    answered = [result for result in kept if result.missing is None]
    timed = [result for result in answered if result.evidence_hit_at_1 is not None]
    rows = tabulate(answered, benchmark.CARD.mean)
    reasons = Counter(
        f"{result.video}: {result.missing}" for result in kept if result.missing is not None
    )
    recalls = sorted({result.recall for result in answered})
    return EvalResponse(
        benchmark=name,
        title=benchmark.CARD.title,
        model=model,
        recall=recalls[0] if len(recalls) == 1 else "mixed" if recalls else "none",
        questions=len(answered),
        missing=len(kept) - len(answered),
        missing_reasons=list(reasons)[:REASONS_SHOWN],
        score=rows[0].score if rows else 0.0,
        rows=[_item(row, benchmark.CARD) for row in rows],
        evidence_questions=len(timed),
        evidence_hit_at_1=accuracy([bool(result.evidence_hit_at_1) for result in timed]),
        results=str(file),
    )


def _item(row: ScoreRow, card: BenchmarkCard) -> ScoreItem:
    return ScoreItem(
        group=row.group,
        n=row.n,
        unparsable=row.n_unparsable,
        score=ShareItem(value=row.score, low=row.low, high=row.high),
        baselines=dict(row.baselines),
        chance=row.chance,
        published=[
            PublishedItem(model=figure.model, score=figure.score, source=figure.source)
            for figure in card.published
            if figure.group == row.group
        ],
    )


@contextmanager
def open_video(context: ServiceContext, path: Path) -> Iterator[OpenedVideo]:
    """Open a video in the sandbox, with its sound where the model hears; or a folder of pictures.

    Raises:
        MediaRefusedError: It cannot be read.
    """
    sampling = context.engine.sampling
    if path.is_dir():
        yield OpenedVideo(frames=PictureFolder(path, sampling.fps))
        return
    limits = media_limits(context.settings)
    with SandboxedReader(str(path), sampling, limits=limits) as reader:
        hears = context.engine.model.card.wants_audio and reader.info.has_audio
        sound = closing(SandboxedSound(str(path), limits=limits)) if hears else nullcontext()
        with sound as track:
            yield OpenedVideo(frames=reader, sound=track)
