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


@router.get("", summary="Runs, newest first")
def list_runs(desk: Ctx, who: CurrentUser) -> ProbeRunsResponse:
    """Finished and growing ones; those over videos that the user may not see are left out."""
    runs = [run for run in desk.catalog.probes.listed(limit=MAX_LISTED) if _may_see(who, run)]
    jobs = desk.catalog.jobs.listed("queued", "running", "failed")
    mine = [
        job for job in jobs if job.kind == KIND and (who.is_admin or not job.payload["haystack"])
    ]
    return ProbeRunsResponse(
        runs=[_describe(desk, run) for run in runs],
        jobs=[describe_job(desk, job) for job in mine],
    )


@router.post("", summary="Order a run", status_code=202)
def order(desk: Ctx, who: CurrentAdmin, body: ProbeRequest) -> JobItem:
    """Plant needles over length and depth; runs as a job."""
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


@router.get("/{run_id}", summary="One run")
def show_run(desk: Ctx, who: CurrentUser, run_id: Number) -> ProbeRunItem:
    """Its cells so far."""
    return _describe(desk, _run(desk, who, run_id))


@router.get("/{run_id}/cells/{cell}", summary="Inside a cell")
def show_cell(desk: Ctx, who: CurrentUser, run_id: Number, cell: Number) -> TrialsResponse:
    """Needle by needle what was asked, answered and shown."""
    run = _run(desk, who, run_id)
    trials = desk.catalog.probes.trials(run.id, cell)
    return TrialsResponse(trials=[dict(trial) for trial in trials])


@router.get("/{run_id}/cells.csv", summary="The cells as CSV")
def table(desk: Ctx, who: CurrentUser, run_id: Number) -> Plain:
    """One line a cell."""
    run = _run(desk, who, run_id)
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(ProbeCell)])
    writer.writeheader()
    writer.writerows(asdict(cell) for cell in run.result.cells)
    name = f"longwatch-probe-{run.id}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Plain(text.getvalue(), media_type="text/csv", headers=headers)


@router.get("/needles/{seed}.png", summary="A drawn needle")
def needle(desk: Ctx, who: CurrentUser, seed: Annotated[int, Path(ge=0, le=10_000)]) -> Plain:
    """The picture that was planted."""
    drawn = io.BytesIO()
    Image.fromarray(draw_needle(seed).image).resize((480, 270)).save(drawn, "PNG")
    headers = {"cache-control": "private, max-age=86400"}
    return Plain(drawn.getvalue(), media_type="image/png", headers=headers)


@router.get(
    "/{run_id}/needles/{place}.png", summary="A needle of a run", response_class=FileResponse
)
def planted(desk: Ctx, who: CurrentUser, run_id: Number, place: Number) -> FileResponse:
    """The picture that was planted, where needles were not drawn."""
    run = _run(desk, who, run_id)
    still = stills_folder(desk.home, run.id) / f"{place}.png"
    if not still.is_file():
        raise NotFoundError(f"no needle {place} is kept of probe run {run_id}")
    headers = {"cache-control": "private, max-age=86400"}
    return FileResponse(still, media_type="image/png", headers=headers)


@router.delete("/{run_id}", summary="Forget a run", status_code=204)
def forget(desk: Ctx, who: CurrentAdmin, run_id: Number) -> Response:
    """With its cells."""
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
