"""A run over a benchmark: one record per question, resumed where an earlier run stopped.

Beside every answer from memory stand three without it, to the same question: from the newest
chunks alone, from the middle frame alone, and from the words alone. A score that these reach too
says nothing of a memory.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.errors import InputRefusedError
from engine.evaluation.baselines import BASELINES, ask_without_memory
from engine.evaluation.benchmark import Benchmark, BenchmarkQuestion, read_questions
from engine.evaluation.ingest_once import OpenVideo, ingest_once
from engine.evaluation.metrics import best_iou, covered, recall_at
from engine.files import atomic_write_bytes
from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine
from engine.pipeline.query import parse
from engine.protocols import Sampling
from engine.records import ALL_TIME, Answer, Recall, VideoId

ANSWER_TOKENS: Final = 64
"""Free benchmark answers are a sentence."""
LETTER_TOKENS: Final = 16
"""Answers to multiple choice are a letter; as many tokens as lmms-eval allows."""
NOT_THERE: Final = "the file is missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineAnswer:
    """An answer without the memory, judged as the others are."""

    answer: str
    choice: str | None
    score: float


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
    choice: str | None = ""
    """The choice that the answer names; `None` where it names none."""
    video: str = ""
    task: str = ""
    groups: tuple[str, ...] = ()
    sample: str = ""
    n_options: int = 0
    options: tuple[str, ...] = ()
    missing: str | None = None
    """Why the question was not asked: its video is not there, or cannot be read."""
    baselines: Mapping[str, BaselineAnswer] = field(default_factory=lambda: MappingProxyType({}))


def run(
    engine: Engine,
    benchmark: Benchmark,
    root: Path,
    results: Path,
    open_video: OpenVideo,
    *,
    recall: Recall | None = None,
) -> Iterator[Result]:
    """Ask every question that has no record yet; each video is ingested once.

    Args:
        engine: Its cache keeps the videos, so that another run asks without reading them again.
        benchmark: A file of `engine/evaluation/benchmarks`.
        root: A local copy of its data.
        results: JSON lines; questions in it are not asked again, but for those whose video was
            missing.
        open_video: How a video is opened.
        recall: For every question; `None` decides by its wording.
    Raises:
        InputRefusedError: The annotations are damaged; nothing was asked.
    """
    items = read_questions(benchmark, root)
    kept = [result for result in read(results) if result.missing is None]
    done = {result.id for result in kept}
    unreadable: dict[Path, str] = {}
    results.parent.mkdir(parents=True, exist_ok=True)
    # A line that a kill cut off goes first: the next record would be appended to it.
    atomic_write_bytes(results, "".join(map(dump, kept)).encode())
    for question in items:
        if question.id in done:
            continue
        result = _ask_of(engine, benchmark, question, open_video, recall, unreadable)
        with results.open("a", encoding="utf-8") as file:
            file.write(dump(result))
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
    for name in ("groups", "options"):
        fields[name] = tuple(fields.get(name, ()))
    fields["baselines"] = {
        name: BaselineAnswer(**part) for name, part in fields.get("baselines", {}).items()
    }
    return Result(**fields)


def dump(result: Result) -> str:
    """Return a record as its line."""
    baselines = {name: asdict(part) for name, part in result.baselines.items()}
    fields = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    return json.dumps({**fields, "baselines": baselines}) + "\n"


def _ask_of(
    engine: Engine,
    benchmark: Benchmark,
    question: BenchmarkQuestion,
    open_video: OpenVideo,
    recall: Recall | None,
    unreadable: dict[Path, str],
) -> Result:
    """Ask a question, or record why it cannot be asked."""
    path = question.video
    if not path.exists():
        return _unasked(question, NOT_THERE)
    if path not in unreadable:
        try:
            video = ingest_once(engine, path, open_video)
        except InputRefusedError as error:
            unreadable[path] = str(error)
        else:
            return _ask(engine, benchmark, question, video, recall)
    return _unasked(question, unreadable[path])


def _ask(
    engine: Engine,
    benchmark: Benchmark,
    question: BenchmarkQuestion,
    video: VideoId,
    recall: Recall | None,
) -> Result:
    sampling = Sampling(max_tokens=LETTER_TOKENS if question.options else ANSWER_TOKENS)
    scope = [(video, question.clip or ALL_TIME)]
    # A recall that is given has the model answer, whatever was found.
    mode = recall
    if mode is None and not benchmark.CARD.may_refuse:
        mode = parse(question.text).recall
    *_, final = answer(
        engine,
        question.text,
        scope=scope,
        sampling=sampling,
        recall=mode,
        instructions=question.instructions,
        with_remark=False,
    )
    assert isinstance(final, Answer)
    spans = [evidence.span for evidence in final.evidence]
    wanted = question.span
    baselines: dict[str, BaselineAnswer] = {}
    for name in BASELINES:
        text = ask_without_memory(name, engine, question, scope, final.recalled_chunks, sampling)
        baselines[name] = BaselineAnswer(
            answer=text,
            choice=benchmark.choose(text, question),
            score=benchmark.score(text, question),
        )
    return Result(
        **_facts(question),
        answer=final.text,
        score=benchmark.score(final.text, question),
        recall=final.recall,
        n_evidence=len(spans),
        evidence_iou=None if wanted is None else best_iou(spans, wanted),
        evidence_hit_at_1=None if wanted is None else recall_at(spans, [wanted], 1) > 0,
        evidence_covered=None if wanted is None else covered(spans, wanted),
        first_token_ms=final.timing.first_token_ms,
        choice=benchmark.choose(final.text, question),
        baselines=baselines,
    )


def _unasked(question: BenchmarkQuestion, reason: str) -> Result:
    return Result(
        **_facts(question),
        answer="",
        score=0.0,
        recall="top",
        n_evidence=0,
        evidence_iou=None,
        evidence_hit_at_1=None,
        evidence_covered=None,
        first_token_ms=0.0,
        choice=None,
        missing=reason,
    )


def _facts(question: BenchmarkQuestion) -> dict[str, Any]:
    """Return what a record says of its question."""
    return {
        "id": question.id,
        "question": question.text,
        "wanted": question.answer,
        "video": str(question.video),
        "task": question.task,
        "groups": question.groups,
        "sample": question.sample,
        "n_options": len(question.options),
        "options": question.options,
    }
