"""Needle probes: start a run, follow it, inspect a cell, export the results."""

from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse

from app.api.audit import audit
from app.api.deps import AppContext, Ctx, CurrentAdmin, CurrentUser
from app.api.openapi import content
from app.schemas.common import RowNumber
from app.schemas.jobs import JobItem
from app.schemas.probes import (
    ProbeRequest,
    ProbeRunItem,
    ProbeRunsResponse,
    TrialsResponse,
    describe_probe,
)
from app.services import probes
from app.services.jobs import describe_job
from app.services.probes import ProbeOrder
from storage.records import ProbeRunRow

MAX_LISTED = 50

router = APIRouter(prefix="/api/v1/probes", tags=["probes"])


@router.get("", summary="List probe runs")
def list_probe_runs(context: Ctx, principal: CurrentUser) -> ProbeRunsResponse:
    """Return runs, newest first, except those over videos that the user may not see."""
    runs = probes.list_runs(context.services, principal, limit=MAX_LISTED)
    jobs = probes.list_probe_jobs(context.services, principal)
    return ProbeRunsResponse(
        runs=[_describe(context, run) for run in runs],
        jobs=[describe_job(context.services, job) for job in jobs],
    )


@router.post("", summary="Start a probe run", status_code=202)
def start_probe_run(context: Ctx, principal: CurrentAdmin, body: ProbeRequest) -> JobItem:
    """Plant needles over lengths and depths, as a job."""
    order = ProbeOrder(
        haystack=body.haystack,
        lengths=tuple(sorted(set(body.lengths))),
        depths=tuple(sorted(set(body.depths))),
        seeds=body.seeds,
        ratio=body.ratio,
        recall=body.recall,
        needles=body.needles,
    )
    return describe_job(context.services, probes.enqueue_probe(context.services, order, principal))


@router.get("/{run_id}", summary="Get a probe run")
def get_probe_run(context: Ctx, principal: CurrentUser, run_id: RowNumber) -> ProbeRunItem:
    """Return a run with the cells that are finished so far."""
    return _describe(context, probes.find_run(context.services, run_id, principal))


@router.get("/{run_id}/cells/{cell}", summary="Get a cell of a probe run")
def get_probe_cell(
    context: Ctx, principal: CurrentUser, run_id: RowNumber, cell: RowNumber
) -> TrialsResponse:
    """Return what was asked, answered and shown for every needle of a cell."""
    run = probes.find_run(context.services, run_id, principal)
    trials = probes.list_trials(context.services, run, cell)
    return TrialsResponse(trials=[dict(trial) for trial in trials])


@router.get(
    "/{run_id}/cells.csv",
    summary="Export the cells as CSV",
    response_class=Response,
    responses=content("text/csv"),
)
def export_probe_cells(context: Ctx, principal: CurrentUser, run_id: RowNumber) -> Response:
    """Return a line for every cell."""
    run = probes.find_run(context.services, run_id, principal)
    name = f"longwatch-probe-{run.id}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(probes.cells_table(run), media_type="text/csv", headers=headers)


@router.get(
    "/needles/{seed}.png",
    summary="Get a drawn needle",
    response_class=Response,
    responses=content("image/png"),
)
def get_drawn_needle(
    context: Ctx, principal: CurrentUser, seed: Annotated[int, Path(ge=0, le=10_000)]
) -> Response:
    """Return the picture that a seed draws."""
    headers = {"cache-control": "private, max-age=86400"}
    return Response(probes.draw_still(seed), media_type="image/png", headers=headers)


@router.get(
    "/{run_id}/needles/{needle_idx}.png",
    summary="Get a needle of a probe run",
    response_class=FileResponse,
    responses=content("image/png"),
)
def get_planted_needle(
    context: Ctx, principal: CurrentUser, run_id: RowNumber, needle_idx: RowNumber
) -> FileResponse:
    """Return the picture that was planted, where it came from a set of needles."""
    run = probes.find_run(context.services, run_id, principal)
    still = probes.find_still(context.services, run, needle_idx)
    headers = {"cache-control": "private, max-age=86400"}
    return FileResponse(still, media_type="image/png", headers=headers)


@router.delete("/{run_id}", summary="Delete a probe run", status_code=204)
def delete_probe_run(context: Ctx, principal: CurrentAdmin, run_id: RowNumber) -> Response:
    """Delete a run with its cells."""
    run = probes.find_run(context.services, run_id, principal)
    probes.remove_run(context.services, run.id)
    audit(principal, "deleted probe run", run.id)
    return Response(status_code=204)


def _describe(context: AppContext, run: ProbeRunRow) -> ProbeRunItem:
    job = probes.find_job(context.services, run)
    return ProbeRunItem(
        **describe_probe(run.result).model_dump(),
        run_id=run.id,
        created_at=run.created_at.isoformat(),
        settings=dict(run.settings),
        job=None if job is None else describe_job(context.services, job),
    )
