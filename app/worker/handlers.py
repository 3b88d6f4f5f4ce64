"""The map from the kind of a job to the use case that does it.

The only importer of every use case that runs as a job: each of them is told how to report and
when to stop by a `JobControl`, and knows nothing of the queue.
"""

import threading
from collections.abc import Callable
from functools import partial

from app.progress import JobControl
from app.services import (
    captions,
    filming,
    filming_jobs,
    ingest,
    ingest_jobs,
    observe,
    previews,
    probes,
)
from app.services.alert_watch import watch_video
from app.services.context import ServiceContext
from app.services.job_kinds import OBSERVE
from app.worker.processes import this_process
from app.worker.shares import WorkerShare
from app.worker.worker import Handler, Worker
from storage.records import JobRow


def _observe_and_watch(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Observe, and let rules of alerts judge what was seen as it is written down."""
    observe.run_observe(
        context, job, control, on_step=lambda video: watch_video(context, video, control)
    )


_USE_CASES: dict[str, Callable[[ServiceContext, JobRow, JobControl], None]] = {
    ingest_jobs.KIND: ingest.run_ingest,
    captions.KIND: captions.run_captions,
    filming_jobs.KIND: filming.run_filming,
    OBSERVE: _observe_and_watch,
    previews.KIND: previews.run_preview,
    probes.KIND: probes.run_probe,
}


def handlers(context: ServiceContext) -> dict[str, Handler]:
    """Return the handler of every kind of job, working on one library."""
    return {kind: partial(use_case, context) for kind, use_case in _USE_CASES.items()}


def open_observing_worker(context: ServiceContext) -> Worker:
    """Return a worker that observes, and does nothing else.

    Raises:
        ReadOnlyError: The library cannot be written to.
    """
    context.catalog.check_writable()
    return Worker(
        context.catalog.jobs,
        {OBSERVE: partial(_observe_and_watch, context)},
        background={OBSERVE: context.settings.sight.concurrent_observes},
        lease_s=context.settings.workers.lease_s,
    )


def open_reader(context: ServiceContext, *, stopping: threading.Event) -> Worker:
    """Return a worker for jobs that it is handed one by one, of every kind that ends.

    Args:
        stopping: Has the job that runs hand itself back.
    """
    with_end = handlers(context)
    del with_end[filming_jobs.KIND]
    return Worker(
        context.catalog.jobs,
        with_end,
        lease_s=context.settings.workers.lease_s,
        stopping=stopping,
    )


def open_worker(context: ServiceContext, *, stopping: threading.Event | None = None) -> Worker:
    """Return a worker that takes every kind of job, as many at a time as the settings allow.

    Observing and previews have places of their own: the one takes as long as a third of the
    footage, the other decodes it once more, and of an older library every video at once; a file
    that is added meanwhile must not wait for either. The filming of a camera has no end, and is
    divided evenly among the workers of a library.

    Args:
        stopping: Stops it when it is set, as `Worker.stop` does.
    Raises:
        ReadOnlyError: The library cannot be written to.
    """
    context.catalog.check_writable()
    settings = context.settings
    return Worker(
        context.catalog.jobs,
        handlers(context),
        n_slots=settings.limits.concurrent_ingests,
        stopping=stopping,
        background={
            OBSERVE: settings.sight.concurrent_observes,
            previews.KIND: 1,
            filming_jobs.KIND: settings.limits.cameras,
        },
        lease_s=settings.workers.lease_s,
        leases={filming_jobs.KIND: settings.workers.camera_lease_s},
        shares={
            filming_jobs.KIND: WorkerShare(
                context.catalog,
                filming_jobs.KIND,
                this_process(),
                places=settings.limits.cameras,
                silent_s=settings.workers.camera_lease_s,
            )
        },
    )
