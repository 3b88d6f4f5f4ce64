"""The map from the kind of a job to the use case that does it.

The only importer of every use case that runs as a job: each of them is told how to report and
when to stop by a `JobControl`, and knows nothing of the queue.
"""

from collections.abc import Callable
from functools import partial

from app.progress import JobControl
from app.services import captions, ingest, previews, probes
from app.services.context import ServiceContext
from app.worker.worker import Handler, Worker
from storage.records import JobRow

_USE_CASES: dict[str, Callable[[ServiceContext, JobRow, JobControl], None]] = {
    ingest.KIND: ingest.run_ingest,
    captions.KIND: captions.run_captions,
    previews.KIND: previews.run_preview,
    probes.KIND: probes.run_probe,
}


def handlers(context: ServiceContext) -> dict[str, Handler]:
    """Return the handler of every kind of job, working on one library."""
    return {kind: partial(use_case, context) for kind, use_case in _USE_CASES.items()}


def open_worker(context: ServiceContext) -> Worker:
    """Return a worker that takes every kind of job, as many at a time as the settings allow."""
    return Worker(
        context.catalog.jobs,
        handlers(context),
        n_slots=context.settings.limits.concurrent_ingests,
    )
