"""Liveness, readiness and metrics."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.api.deps import Ctx, CurrentAdmin
from app.api.openapi import SIGNED_IN, content
from app.services.status import check_ready, count_library, is_ready

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Check liveness")
def check_liveness() -> dict[str, str]:
    """Answer as long as the process runs, without a look at anything else."""
    return {"status": "ok"}


@router.get("/readyz", summary="Check readiness")
def check_readiness(context: Ctx, response: Response) -> dict[str, str]:
    """Check the database, the model and the latents; the answer names what is missing.

    Damaged latents are named, and do not make the server unready: all others are answered from.
    """
    states = check_ready(context.services)
    if not is_ready(states):
        response.status_code = 503
    return states


@router.get(
    "/metrics",
    summary="Get metrics",
    response_class=Response,
    responses=content("text/plain"),
    dependencies=[*SIGNED_IN],
)
def get_metrics(context: Ctx, principal: CurrentAdmin) -> Response:
    """Return counts in the format of Prometheus, for an admin's token."""
    registry = CollectorRegistry()
    videos = Gauge("longwatch_videos", "Videos by status.", ["status"], registry=registry)
    jobs = Gauge("longwatch_jobs", "Jobs by kind and state.", ["kind", "state"], registry=registry)
    chunks = Gauge("longwatch_chunks", "Committed chunks.", registry=registry)
    size = Gauge("longwatch_latent_bytes", "Bytes of latents on disk.", registry=registry)
    stills = Gauge("longwatch_still_bytes", "Bytes of stills on disk.", registry=registry)
    seconds = Gauge("longwatch_ingested_seconds", "Seconds of video read.", registry=registry)
    waiting = Gauge("longwatch_questions_waiting", "Waiting or being answered.", registry=registry)
    counts = count_library(context.services)
    for status, n in counts.videos.items():
        videos.labels(status).set(n)
    for (kind, state), n in counts.jobs.items():
        jobs.labels(kind, state).set(n)
    chunks.set(counts.n_chunks)
    size.set(counts.latent_bytes)
    stills.set(counts.still_bytes)
    seconds.set(counts.ingested_s)
    waiting.set(context.model_queue.waiting)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
