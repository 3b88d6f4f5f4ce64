"""Needle probes: ordered as jobs that write down each cell as it is done, or run at once."""

import csv
import hashlib
import io
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from PIL import Image

from app.progress import JobControl, ProgressCallback, ProgressUpdate, no_progress
from app.schemas.probes import ProbeResponse, describe_probe
from app.services.access import Access, find_video
from app.services.context import ServiceContext
from app.services.evaluation import DRAWN, open_haystack
from app.services.needles import open_needles
from engine.errors import InputRefusedError, NotFoundError
from engine.evaluation.needle import Finding, Needle, drawn_needles, load_needles
from engine.evaluation.needle_grid import GridConfig, draw_heat_map, run_grid, write_table
from engine.media.frame import Frame
from engine.probe_records import ProbeCell, ProbeResult
from engine.records import Recall
from engine.synthetic.cards import draw_needle
from storage.files import HomeFolder
from storage.records import JobRow, Json, ProbeRunId, ProbeRunRow

KIND: Final = "probe"
STILL_PX: Final = (480, 270)
FRAMES_ALLOWED: Final = (8, 100_000)
"""Least and most frames of a haystack: below, the needle has no room; above, a cell takes days."""
MAX_RATIO: Final = 64
MAX_NEEDLES: Final = 2_000
"""Needles in a job: a grid that takes a day is run on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """The order of a run, as its job carries it."""

    haystack: str | None = None
    """A video of the library, on the command line also a file; drawn when `None`."""
    lengths: tuple[int, ...]
    """Sampled frames of each haystack; a shorter video is repeated."""
    depths: tuple[float, ...]
    """Where the needle lies, 0 start to 1 end."""
    seeds: int
    """Drawn needles in a cell."""
    ratio: int | None = None
    """Visual tokens per latent; the model's when `None`."""
    recall: Recall = "top"
    """The best chunks, or the full memory."""
    needles: str | None = None
    """A folder or an upload by its key in `app/services/needles.py`; drawn cards when `None`."""

    @classmethod
    def parse(cls, payload: Json) -> "ProbeOrder":
        """Return an order from its JSON."""
        lists = {key: tuple(payload[key]) for key in ("lengths", "depths")}
        return cls(**{**payload, **lists})

    @property
    def n_cells(self) -> int:
        """Cells of the grid."""
        return len(self.lengths) * len(self.depths)

    @property
    def grid(self) -> GridConfig:
        """The grid as the engine takes it."""
        return GridConfig(
            lengths=self.lengths,
            depths=self.depths,
            recall=self.recall,
            compression_ratio=self.ratio,
        )


def check_order(order: ProbeOrder) -> None:
    """Refuse a grid that no face may order.

    Raises:
        InputRefusedError: A length, depth, ratio or number of needles outside its range.
    """
    least, most = FRAMES_ALLOWED
    if not order.lengths or not all(least <= length <= most for length in order.lengths):
        raise InputRefusedError(
            f"lengths are {least} to {most} frames, not {_listed(order.lengths)}"
        )
    if not order.depths or not all(0 <= depth <= 1 for depth in order.depths):
        raise InputRefusedError(f"depths lie between 0 and 1, not at {_listed(order.depths)}")
    if order.ratio is not None and not 1 <= order.ratio <= MAX_RATIO:
        raise InputRefusedError(f"a ratio is 1 to {MAX_RATIO} tokens a latent, not {order.ratio}")
    if order.seeds < 1:
        raise InputRefusedError(f"a cell has at least 1 needle, not {order.seeds}")


def enqueue_probe(context: ServiceContext, order: ProbeOrder, access: Access) -> JobRow:
    """Queue a run; runs go one after the other.

    Raises:
        InputRefusedError: As `check_order`, or more needles than a job may plant.
        NotFoundError: No such video or set of needles.
    """
    check_order(order)
    n_each = order.seeds
    if order.needles is not None:
        n_each = len(open_needles(context.settings, order.needles))
    if order.n_cells * n_each > MAX_NEEDLES:
        raise InputRefusedError(
            f"{order.n_cells * n_each} needles are more than {MAX_NEEDLES}",
            hint="`longwatch probe` runs larger grids",
        )
    if order.haystack is not None:
        find_video(context, order.haystack, access)
    return context.catalog.jobs.add(KIND, asdict(order), stream=KIND)


NOT_KEPT: Final = (
    "stopped; nothing of this probe is kept, and the same command starts afresh: "
    "one that is asked for in the web app keeps every cell"
)
"""Said where a probe at once is interrupted."""


def probe(
    context: ServiceContext,
    order: ProbeOrder,
    needles: tuple[Needle, ...],
    *,
    plot: Path | None = None,
    csv: Path | None = None,
    report: ProgressCallback = no_progress,
) -> ProbeResponse:
    """Plant needles in a haystack at once and see where they are found again.

    Args:
        plot: Where a heat map goes.
        csv: Where the cells go.
    Raises:
        InputRefusedError: As `check_order`.
    """
    check_order(order)
    with open_haystack(context, order.haystack, max(order.lengths)) as (name, frames):
        steps = run_grid(context.engine, frames, needles, order.grid, haystack=name)
        for n_done, step in enumerate(steps, start=1):
            if isinstance(step, ProbeResult):
                break
            note = f"{step.length_frames} frames, depth {step.depth:.2f}"
            report(ProgressUpdate(what="probing", done=n_done, total=order.n_cells, note=note))
        else:
            raise AssertionError("the last step of a grid is its result")
    if plot is not None:
        draw_heat_map(step, plot)
    if csv is not None:
        write_table(step, csv)
    return describe_probe(step)


def choose_needles(folder: Path | None, *, seeds: int, first_seed: int = 0) -> tuple[Needle, ...]:
    """Return the needles of a folder with `needles.jsonl`; drawn cards when there is none."""
    return drawn_needles(seeds, first_seed=first_seed) if folder is None else load_needles(folder)


def run_probe(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Do one run; cells that an interrupted start has left are kept, not measured again."""
    order = ProbeOrder.parse(job.payload)
    needles = _needles(context, order)
    run = _begin(context, job, order, needles)
    if len(run.result.cells) == order.n_cells:
        return
    with open_haystack(context, order.haystack, max(order.lengths)) as haystack:
        _fill(context, run, order, needles, haystack, control, job)
    if control.is_cancelled():
        remove_run(context, run.id)


def list_runs(context: ServiceContext, access: Access, *, limit: int) -> tuple[ProbeRunRow, ...]:
    """Return the latest runs, except those over videos that someone may not see."""
    return tuple(
        run for run in context.catalog.probes.list(limit=limit) if _may_see(access, run.settings)
    )


def list_probe_jobs(context: ServiceContext, access: Access) -> tuple[JobRow, ...]:
    """Return the runs that wait, are under way or failed, as far as someone may see them."""
    jobs = context.catalog.jobs.list("queued", "running", "failed")
    return tuple(job for job in jobs if job.kind == KIND and _may_see(access, job.payload))


def find_run(context: ServiceContext, run_id: int, access: Access) -> ProbeRunRow:
    """Return a run.

    Raises:
        NotFoundError: No such run, or it is over a video that was not granted.
    """
    run = context.catalog.probes.get(ProbeRunId(run_id))
    if not _may_see(access, run.settings):
        raise NotFoundError(f"no probe run {run_id}")
    return run


def list_trials(context: ServiceContext, run: ProbeRunRow, cell: int) -> tuple[Json, ...]:
    """Return what was asked, answered and shown in one cell, needle by needle."""
    return context.catalog.probes.trials(run.id, cell)


def find_job(context: ServiceContext, run: ProbeRunRow) -> JobRow | None:
    """Return the job that makes or made a run."""
    return None if run.job is None else context.catalog.jobs.get(run.job)


def remove_run(context: ServiceContext, run: ProbeRunId) -> None:
    """Delete a run with its cells and the pictures of its needles."""
    context.catalog.probes.remove(run)
    stills = HomeFolder(context.settings.home).probe_stills(run)
    shutil.rmtree(stills, ignore_errors=True)


def find_still(context: ServiceContext, run: ProbeRunRow, index: int) -> Path:
    """Return the picture of a needle that was planted in a run.

    Raises:
        NotFoundError: None is kept: there are fewer needles, or they were drawn.
    """
    still = HomeFolder(context.settings.home).probe_still(run.id, index)
    if not still.is_file():
        raise NotFoundError(f"no needle {index} is kept of probe run {run.id}")
    return still


def draw_still(seed: int) -> bytes:
    """Return a drawn needle as PNG."""
    drawn = io.BytesIO()
    Image.fromarray(draw_needle(seed).image).resize(STILL_PX).save(drawn, "PNG")
    return drawn.getvalue()


def cells_table(run: ProbeRunRow) -> str:
    """Return the cells of a run as CSV, one line a cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(ProbeCell)])
    writer.writeheader()
    writer.writerows(asdict(cell) for cell in run.result.cells)
    return text.getvalue()


def _may_see(access: Access, order: Json) -> bool:
    haystack = order.get("haystack")
    return haystack is None or access.may_see(haystack)


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(map(str, values)) or "none"


def _needles(context: ServiceContext, order: ProbeOrder) -> tuple[Needle, ...]:
    if order.needles is None:
        return drawn_needles(order.seeds)
    return open_needles(context.settings, order.needles)


def _begin(
    context: ServiceContext, job: JobRow, order: ProbeOrder, needles: tuple[Needle, ...]
) -> ProbeRunRow:
    """Return the run of a job: what an earlier start has begun, if it still measures the same."""
    card = context.engine.model.card
    # Cells of another model, or of needles that were changed meanwhile, do not fit beside new ones.
    made_with = {"fingerprint": card.fingerprint, "needles_digest": _digest(needles)}
    for run in context.catalog.probes.list(job=job.id):
        if made_with.items() <= dict(run.settings).items():
            return run
        remove_run(context, run.id)
    empty = ProbeResult(
        haystack=_haystack_name(context, order),
        model=f"{card.family}/{card.variant}",
        compression_ratio=order.ratio or context.engine.compression_ratio,
        recall=order.recall,
    )
    run = context.catalog.probes.add(empty, settings={**asdict(order), **made_with}, holder=job)
    if order.needles is not None:
        _keep_stills(HomeFolder(context.settings.home), run.id, needles)
    return run


def _fill(
    context: ServiceContext,
    run: ProbeRunRow,
    order: ProbeOrder,
    needles: tuple[Needle, ...],
    haystack: tuple[str, Iterator[Frame]],
    control: JobControl,
    holder: JobRow,
) -> None:
    """Measure the cells that are missing, and write down each as it is done."""
    total, measured = order.n_cells, run.result.cells
    name, frames = haystack
    findings: list[Finding] = []
    cells = run_grid(
        context.engine,
        frames,
        needles,
        order.grid,
        haystack=name,
        on_finding=findings.append,
        measured=measured,
    )
    control.progress(len(measured), total, "reading the haystack")
    began = time.perf_counter()
    for step in cells:
        if isinstance(step, ProbeCell):
            trials = [_trial(seed, needles[seed], finding) for seed, finding in enumerate(findings)]
            wall_s = run.result.wall_s + time.perf_counter() - began
            n_done = context.catalog.probes.add_cell(
                run.id, step, wall_s=wall_s, trials=trials, holder=holder
            )
            findings.clear()
            control.progress(n_done, total, f"cell {n_done} of {total}")
        if control.should_stop():
            cells.close()
            return


def _trial(seed: int, needle: Needle, finding: Finding) -> Json:
    return {
        "seed": seed,
        "question": needle.question,
        "expected": needle.answer,
        "answer": finding.reply,
        "is_right": finding.is_right,
        "evidence_rank": finding.evidence_rank,
        "planted_s": finding.planted_s,
        "shown": [[span.start_s, span.end_s] for span in finding.shown[:5]],
    }


def _haystack_name(context: ServiceContext, order: ProbeOrder) -> str:
    if order.haystack is None:
        return DRAWN
    return context.catalog.videos.resolve(order.haystack).name


def _digest(needles: tuple[Needle, ...]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for needle in needles:
        digest.update(repr((needle.question, needle.answer, needle.aliases)).encode())
        digest.update(needle.image.tobytes())
    return digest.hexdigest()


def _keep_stills(home: HomeFolder, run: ProbeRunId, needles: tuple[Needle, ...]) -> None:
    home.probe_stills(run).mkdir(parents=True, exist_ok=True)
    for index, needle in enumerate(needles):
        still = Image.fromarray(needle.image)
        still.thumbnail(STILL_PX)
        still.save(home.probe_still(run, index), "PNG")
