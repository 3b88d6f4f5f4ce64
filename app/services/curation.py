"""A benchmark of one's own, chosen from the records of several models as ApolloBench was."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.schemas.evaluation import CurationResponse
from app.services.benchmark_runs import load_benchmark
from app.services.vico import writable
from engine.errors import InputRefusedError, NotFoundError
from engine.evaluation.annotations import read_annotations
from engine.evaluation.curation import KEPT, curate
from engine.evaluation.runner import Result
from engine.evaluation.runner import read as read_results
from engine.files import atomic_write_bytes

FILE = "apollobench.jsonl"


def curate_records(
    records: Sequence[str], output: Path, *, most: int = KEPT, labels: Path | None = None
) -> CurationResponse:
    """Choose questions by records of `eval`, and write them as `eval apollobench` reads them.

    Args:
        records: `BENCHMARK=FILE`, one for each model and benchmark.
        output: Folder that gets `apollobench.jsonl`.
        most: Questions that stay.
        labels: JSON lines `{"id": "benchmark/id", "category"}`.
    Raises:
        InputRefusedError: A record file is not named with its benchmark, or nothing stays.
        NotFoundError: No such benchmark or file.
    """
    runs = [_read(record) for record in records]
    known = {} if labels is None else _labels(labels)
    try:
        chosen = curate(runs, most=most, labels=known)
    except ValueError as error:
        raise InputRefusedError(str(error)) from error
    if not chosen.kept:
        raise InputRefusedError(
            f"no question stays: {chosen.by_text} answered by words alone, {chosen.by_frame} by "
            f"one frame, {chosen.unlabelled} of no category, {chosen.unfit} without letters"
        )
    with writable(output):
        output.mkdir(parents=True, exist_ok=True)
        lines = "".join(
            json.dumps({**asdict(question), "video": str(Path(question.video).absolute())}) + "\n"
            for question in chosen.kept
        )
        atomic_write_bytes(output / FILE, lines.encode())
    return CurationResponse(
        output=str(output / FILE),
        runs=len(runs),
        kept=len(chosen.kept),
        categories=dict(sorted(Counter(item.category for item in chosen.kept).items())),
        sources=dict(sorted(Counter(item.source for item in chosen.kept).items())),
        answered_by_text=chosen.by_text,
        answered_by_frame=chosen.by_frame,
        unlabelled=chosen.unlabelled,
        unfit=chosen.unfit,
        beyond=chosen.beyond,
    )


def _read(record: str) -> tuple[str, Sequence[Result]]:
    name, _, file = record.partition("=")
    if not file:
        raise InputRefusedError(
            f"{record} names no benchmark", hint="write video_mme=runs/eval-video_mme-1a2b.jsonl"
        )
    load_benchmark(name)
    if not Path(file).is_file():
        raise NotFoundError(f"there is no file {file}")
    return name, read_results(Path(file))


def _labels(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    return {str(row["id"]): str(row["category"]) for row in read_annotations(path)}
