"""Needle runs as jobs: each cell is written down as it is done, so that a grid can be watched."""

import hashlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from app.services.context import Service
from app.services.evaluation import DRAWN, open_haystack
from app.services.needles import open_needles
from app.worker.worker import Handler, JobContext
from engine.evaluation.needle import Finding, Needle, drawn_needles
from engine.evaluation.needle_grid import GridConfig, run_grid
from engine.media.frames import Frame
from engine.records import ProbeCell, ProbeResult, Recall
from storage.records import JobRow, Json, ProbeRunId, ProbeRunRow

KIND: Final = "probe"
STILL_PX: Final = (480, 270)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """What a run was asked to do, as its job carries it."""

    haystack: str | None
    """A video of the library; drawn when `None`."""
    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    seeds: int
    ratio: int | None
    recall: Recall
    needles: str | None = None
    """A folder or an upload by its key in `app/services/needles.py`; drawn cards when `None`."""

    @classmethod
    def parse(cls, payload: Json) -> "ProbeOrder":
        """An order from its JSON."""
        lists = {key: tuple(payload[key]) for key in ("lengths", "depths")}
        return cls(**{**payload, **lists})


def enqueue_probe(service: Service, order: ProbeOrder) -> JobRow:
    """Ask for a run; runs go one after the other."""
    return service.catalog.jobs.add(KIND, asdict(order), stream=KIND)


def probe_handler(service: Service) -> Handler:
    """Does one run; cells that an interrupted start has left are kept, not measured again."""

    def handle(job: JobRow, context: JobContext) -> None:
        order = ProbeOrder.parse(job.payload)
        needles = _needles(service, order)
        run = _begun(service, job, order, needles)
        if len(run.result.cells) == _n_cells(order):
            return
        with open_haystack(service, order.haystack, max(order.lengths)) as (name, frames):
            _fill(service, run, order, needles, name, frames, context)
        if context.is_cancelled():
            forget_run(service, run.id)

    return handle


def forget_run(service: Service, run: ProbeRunId) -> None:
    """Remove a run with its cells and the pictures of its needles."""
    service.catalog.probes.remove(run)
    shutil.rmtree(stills_folder(service.settings.home, run), ignore_errors=True)


def stills_folder(home: Path, run: ProbeRunId) -> Path:
    """Where the pictures of needles that were not drawn are kept, to be looked at later."""
    return home / "thumbs" / "probes" / str(run)


def _needles(service: Service, order: ProbeOrder) -> tuple[Needle, ...]:
    if order.needles is None:
        return drawn_needles(order.seeds)
    return open_needles(service.settings, order.needles)


def _begun(
    service: Service, job: JobRow, order: ProbeOrder, needles: tuple[Needle, ...]
) -> ProbeRunRow:
    """The run of a job: the one that an earlier start has begun, if it still measures the same."""
    card = service.engine.model.card
    # Cells of another model, or of needles that were changed meanwhile, do not fit beside new ones.
    made_with = {"fingerprint": card.fingerprint, "needles_digest": _digest(needles)}
    for run in service.catalog.probes.listed(job=job.id):
        if made_with.items() <= dict(run.settings).items():
            return run
        forget_run(service, run.id)
    empty = ProbeResult(
        haystack=_haystack_name(service, order),
        model=f"{card.family}/{card.variant}",
        compression_ratio=order.ratio or service.engine.compression_ratio,
        recall=order.recall,
    )
    run = service.catalog.probes.add(empty, settings={**asdict(order), **made_with}, job=job.id)
    if order.needles is not None:
        _keep_stills(stills_folder(service.settings.home, run.id), needles)
    return run


def _fill(
    service: Service,
    run: ProbeRunRow,
    order: ProbeOrder,
    needles: tuple[Needle, ...],
    name: str,
    frames: Iterator[Frame],
    context: JobContext,
) -> None:
    total, measured = _n_cells(order), run.result.cells
    config = GridConfig(
        lengths=order.lengths,
        depths=order.depths,
        recall=order.recall,
        compression_ratio=order.ratio,
    )
    findings: list[Finding] = []
    cells = run_grid(
        service.engine,
        frames,
        needles,
        config,
        haystack=name,
        on_finding=findings.append,
        measured=measured,
    )
    context.progress(len(measured), total, "reading the haystack")
    began = time.perf_counter()
    for step in cells:
        if isinstance(step, ProbeCell):
            trials = [_trial(seed, needles[seed], found) for seed, found in enumerate(findings)]
            wall_s = run.result.wall_s + time.perf_counter() - began
            n_done = service.catalog.probes.add_cell(run.id, step, wall_s=wall_s, trials=trials)
            findings.clear()
            context.progress(n_done, total, f"cell {n_done} of {total}")
        if context.should_stop():
            cells.close()
            return


def _trial(seed: int, needle: Needle, found: Finding) -> Json:
    return {
        "seed": seed,
        "question": needle.question,
        "expected": needle.answer,
        "answer": found.reply,
        "is_right": found.is_right,
        "evidence_rank": found.evidence_rank,
        "planted_s": found.planted_s,
        "shown": [[span.start_s, span.end_s] for span in found.shown[:5]],
    }


def _n_cells(order: ProbeOrder) -> int:
    return len(order.lengths) * len(order.depths)


def _haystack_name(service: Service, order: ProbeOrder) -> str:
    if order.haystack is None:
        return DRAWN
    return service.catalog.videos.resolve(order.haystack).name


def _digest(needles: tuple[Needle, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for needle in needles:
        digest.update(repr((needle.question, needle.answer, needle.aliases)).encode())
        digest.update(needle.image.tobytes())
    return digest.hexdigest()


def _keep_stills(folder: Path, needles: tuple[Needle, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for place, needle in enumerate(needles):
        still = Image.fromarray(needle.image)
        still.thumbnail(STILL_PX)
        still.save(folder / f"{place}.png", "PNG")
