"""Needle runs as jobs: each cell is written down as it is done, so that a grid can be watched."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from app.jobs import Handler, JobContext
from app.measuring import open_haystack
from app.service import Service
from engine.media.frames import Frame
from engine.probes.grid import GridConfig, run_grid
from engine.probes.needle import Finding, Needle, drawn_needles
from engine.records import ProbeCell, ProbeResult, Recall
from storage.rows import JobRow, Json, ProbeRunId

KIND: Final = "probe"


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

    @classmethod
    def parse(cls, payload: Json) -> "ProbeOrder":
        """An order from its JSON."""
        lists = {key: tuple(payload[key]) for key in ("lengths", "depths")}
        return cls(**{**payload, **lists})


def order_probe(service: Service, order: ProbeOrder) -> JobRow:
    """Ask for a run; runs go one after the other."""
    return service.catalog.jobs.add(KIND, asdict(order), stream=KIND)


def probe_handler(service: Service) -> Handler:
    """Does one run. An interrupted run starts afresh: cells are cheap beside a torn grid."""

    def handle(job: JobRow, context: JobContext) -> None:
        order = ProbeOrder.parse(job.payload)
        _forget_torn(service, job)
        needles = drawn_needles(order.seeds)
        card = service.engine.model.card
        with open_haystack(service, order.haystack, max(order.lengths)) as (name, frames):
            empty = ProbeResult(
                haystack=name,
                model=f"{card.family}/{card.variant}",
                compression_ratio=order.ratio or service.engine.compression_ratio,
                recall=order.recall,
            )
            run = service.catalog.probes.add(empty, settings=asdict(order), job=job.id)
            _fill(service, run.id, order, needles, name, frames, context)

    return handle


def _fill(
    service: Service,
    run: ProbeRunId,
    order: ProbeOrder,
    needles: tuple[Needle, ...],
    name: str,
    frames: Iterator[Frame],
    context: JobContext,
) -> None:
    total = len(order.lengths) * len(order.depths)
    config = GridConfig(
        lengths=order.lengths,
        depths=order.depths,
        recall=order.recall,
        compression_ratio=order.ratio,
    )
    findings: list[Finding] = []
    cells = run_grid(
        service.engine, frames, needles, config, haystack=name, on_finding=findings.append
    )
    context.progress(0, total, "reading the haystack")
    done = 0
    for step in cells:
        if isinstance(step, ProbeCell):
            trials = [_trial(seed, needles[seed], found) for seed, found in enumerate(findings)]
            service.catalog.probes.add_cell(run, step, wall_s=0.0, trials=trials)
            findings.clear()
            done += 1
            context.progress(done, total, f"cell {done} of {total}")
        if context.should_stop():
            service.catalog.probes.remove(run)
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


def _forget_torn(service: Service, job: JobRow) -> None:
    for run in service.catalog.probes.listed():
        if run.job == job.id:
            service.catalog.probes.remove(run.id)
