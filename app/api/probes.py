"""Needle runs: order one, watch it grow, look into a cell, take the numbers along."""

import csv
import io
from dataclasses import asdict, fields
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from fastapi.responses import Response as Plain
from PIL import Image

from app.api.auth import Principal
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.api.jobs import describe_job
from app.schemas.jobs import JobItem
from app.schemas.probes import (
    ProbeRequest,
    ProbeRunItem,
    ProbeRunsResponse,
    TrialsResponse,
    describe_probe,
)
from app.services.needles import open_needles
from app.services.probes import KIND, ProbeOrder, enqueue_probe, forget_run, stills_folder
from engine.errors import InputRefusedError, NotFoundError
from engine.records import ProbeCell
from engine.synthetic.cards import draw_needle
from storage.records import ProbeRunId, ProbeRunRow

MAX_NEEDLES = 2_000
"""Needles in a run: a grid that takes a day is ordered on the command line."""
MAX_LISTED = 50

router = APIRouter(prefix="/api/v1/probes", tags=["probes"])
Number = Annotated[int, Path(ge=0, le=2**31)]


@router.get("", summary="List probe runs")
def list_probe_runs(desk: Ctx, who: CurrentUser) -> ProbeRunsResponse:
    """Return runs, newest first, except those over videos that the user may not see."""
    runs = [run for run in desk.catalog.probes.listed(limit=MAX_LISTED) if _may_see(who, run)]
    jobs = desk.catalog.jobs.listed("queued", "running", "failed")
    mine = [
        job for job in jobs if job.kind == KIND and (who.is_admin or not job.payload["haystack"])
    ]
    return ProbeRunsResponse(
        runs=[_describe(desk, run) for run in runs],
        jobs=[describe_job(desk, job) for job in mine],
    )


@router.post("", summary="Start a probe run", status_code=202)
def start_probe_run(desk: Ctx, who: CurrentAdmin, body: ProbeRequest) -> JobItem:
    """Plant needles over lengths and depths, as a job."""
    n_sorts = body.seeds
    if body.needles is not None:
        n_sorts = len(open_needles(desk.settings, body.needles))
    n_needles = len(body.lengths) * len(body.depths) * n_sorts
    if n_needles > MAX_NEEDLES:
        raise InputRefusedError(f"{n_needles} needles are more than {MAX_NEEDLES}")
    if body.haystack is not None:
        desk.video(who, body.haystack)
    asked = ProbeOrder(
        haystack=body.haystack,
        lengths=tuple(sorted(set(body.lengths))),
        depths=tuple(sorted(set(body.depths))),
        seeds=body.seeds,
        ratio=body.ratio,
        recall=body.recall,
        needles=body.needles,
    )
    return describe_job(desk, enqueue_probe(desk.service, asked))


@router.get("/{run_id}", summary="Get a probe run")
def get_probe_run(desk: Ctx, who: CurrentUser, run_id: Number) -> ProbeRunItem:
    """Return a run with the cells that are finished so far."""
    return _describe(desk, _run(desk, who, run_id))


@router.get("/{run_id}/cells/{cell}", summary="Get a cell of a probe run")
def get_probe_cell(desk: Ctx, who: CurrentUser, run_id: Number, cell: Number) -> TrialsResponse:
    """Return what was asked, answered and shown for every needle of a cell."""
    run = _run(desk, who, run_id)
    trials = desk.catalog.probes.trials(run.id, cell)
    return TrialsResponse(trials=[dict(trial) for trial in trials])


@router.get("/{run_id}/cells.csv", summary="Export the cells as CSV")
def export_probe_cells(desk: Ctx, who: CurrentUser, run_id: Number) -> Plain:
    """Return a line for every cell."""
    run = _run(desk, who, run_id)
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(ProbeCell)])
    writer.writeheader()
    writer.writerows(asdict(cell) for cell in run.result.cells)
    name = f"longwatch-probe-{run.id}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Plain(text.getvalue(), media_type="text/csv", headers=headers)


@router.get("/needles/{seed}.png", summary="Get a drawn needle")
def get_drawn_needle(
    desk: Ctx, who: CurrentUser, seed: Annotated[int, Path(ge=0, le=10_000)]
) -> Plain:
    """Return the picture that a seed draws."""
    drawn = io.BytesIO()
    Image.fromarray(draw_needle(seed).image).resize((480, 270)).save(drawn, "PNG")
    headers = {"cache-control": "private, max-age=86400"}
    return Plain(drawn.getvalue(), media_type="image/png", headers=headers)


@router.get(
    "/{run_id}/needles/{place}.png",
    summary="Get a needle of a probe run",
    response_class=FileResponse,
)
def get_planted_needle(desk: Ctx, who: CurrentUser, run_id: Number, place: Number) -> FileResponse:
    """Return the picture that was planted, where it came from a set of needles."""
    run = _run(desk, who, run_id)
    still = stills_folder(desk.home, run.id) / f"{place}.png"
    if not still.is_file():
        raise NotFoundError(f"no needle {place} is kept of probe run {run_id}")
    headers = {"cache-control": "private, max-age=86400"}
    return FileResponse(still, media_type="image/png", headers=headers)


@router.delete("/{run_id}", summary="Delete a probe run", status_code=204)
def delete_probe_run(desk: Ctx, who: CurrentAdmin, run_id: Number) -> Response:
    """Delete a run with its cells."""
    forget_run(desk.service, _run(desk, who, run_id).id)
    return Response(status_code=204)


def _run(desk: AppContext, who: Principal, run_id: int) -> ProbeRunRow:
    run = desk.catalog.probes.get(ProbeRunId(run_id))
    if not _may_see(who, run):
        raise NotFoundError(f"no probe run {run_id}")
    return run


def _may_see(who: Principal, run: ProbeRunRow) -> bool:
    haystack = run.settings.get("haystack")
    return haystack is None or who.may_see(haystack)


def _describe(desk: AppContext, run: ProbeRunRow) -> ProbeRunItem:
    job = None if run.job is None else desk.catalog.jobs.get(run.job)
    return ProbeRunItem(
        **describe_probe(run.result).model_dump(),
        run_id=run.id,
        created_at=run.created_at.isoformat(),
        settings=dict(run.settings),
        job=None if job is None else describe_job(desk, job),
    )
