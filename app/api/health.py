"""Whether the process lives, whether it can answer, and what it counts."""

from collections.abc import Callable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.api.deps import Ctx, CurrentAdmin
from app.api.openapi import SIGNED_IN
from app.config.engine_config import find_model
from engine.errors import LongwatchError

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Check liveness")
def check_liveness() -> dict[str, str]:
    """Answer as long as the process runs, without a look at anything else."""
    return {"status": "ok"}


@router.get("/readyz", summary="Check readiness")
def check_readiness(desk: Ctx, response: Response) -> dict[str, str]:
    """Check the database and the model; the answer names what is missing."""
    checks: dict[str, Callable[[], object]] = {
        "database": lambda: desk.catalog.jobs.listed("running"),
        "model": lambda: find_model(desk.settings.model, desk.settings),
    }
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = "ok"
        except LongwatchError as error:
            response.status_code = 503
            found[name] = error.code
    return found


@router.get("/metrics", summary="Get metrics", response_class=Response, dependencies=[*SIGNED_IN])
def get_metrics(desk: Ctx, who: CurrentAdmin) -> Response:
    """Return counts in the format of Prometheus, for an admin's token."""
    registry = CollectorRegistry()
    videos = Gauge("longwatch_videos", "Videos by status.", ["status"], registry=registry)
    jobs = Gauge("longwatch_jobs", "Jobs by kind and state.", ["kind", "state"], registry=registry)
    chunks = Gauge("longwatch_chunks", "Committed chunks.", registry=registry)
    size = Gauge("longwatch_latent_bytes", "Bytes of latents on disk.", registry=registry)
    seconds = Gauge("longwatch_ingested_seconds", "Seconds of video read.", registry=registry)
    waiting = Gauge("longwatch_questions_waiting", "Waiting or being answered.", registry=registry)
    for row in desk.catalog.videos.listed():
        videos.labels(row.status).inc()
        chunks.inc(row.n_chunks)
        size.inc(row.latent_bytes)
        seconds.inc(row.ingested_s)
    for job in desk.catalog.jobs.listed():
        jobs.labels(job.kind, job.state).inc()
    waiting.set(desk.lane.waiting)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
