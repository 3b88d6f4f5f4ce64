"""Captions of every chunk as a job: written down one by one, so that a cut-off run goes on."""

import time
from typing import Final

from app.cli.render import ProgressUpdate
from app.schemas.captions import CaptionRunResponse, CaptionsResponse, describe_caption
from app.services.context import ProgressCallback, Service
from app.worker.worker import Handler, JobContext
from engine.errors import InputRefusedError, NotFoundError
from engine.pipeline.caption import caption
from engine.protocols import Sampling
from storage.records import JobProgress, JobRow, VideoRow

KIND: Final = "caption"


def enqueue_captions(service: Service, video: VideoRow) -> JobRow:
    """Have a video captioned by whichever worker is free; asking twice is asking once."""
    for job in service.catalog.jobs.listed("queued", "running", video=video.id):
        if job.kind == KIND:
            return job
    # Not in the stream of its ingest: that of a camera never ends.
    return service.catalog.jobs.add(KIND, {}, video=video.id, stream=f"{KIND}/{video.id}")


def caption_handler(service: Service) -> Handler:
    """Captions the chunks that have none."""

    def handle(job: JobRow, context: JobContext) -> None:
        assert job.video is not None, "captions belong to a video"
        video = service.catalog.videos.get(job.video)
        known = frozenset(one.ref for one in service.catalog.captions.listed(video.id))
        n_done = len(known)
        context.progress(n_done, video.n_chunks)
        sampling = Sampling(max_tokens=service.settings.limits.answer_tokens)
        for written in caption(service.engine, video.id, known=known, sampling=sampling):
            service.catalog.captions.add(written)
            n_done += 1
            # A camera may have been read further meanwhile.
            total = max(n_done, video.n_chunks)
            context.progress(n_done, total, f"chunk {n_done} of {total}")
            if context.should_stop():
                return

    return handle


def caption_now(service: Service, name: str, report: ProgressCallback) -> CaptionRunResponse:
    """Caption a video here and now, or watch the worker that does.

    Args:
        name: The video's id or name.
        report: Hears how far it is.
    Raises:
        NotFoundError: No such video, or this model holds nothing of it.
        InputRefusedError: The worker that had the job failed.
    """
    started = time.monotonic()
    video = service.catalog.videos.resolve(name)
    n_before = len(service.catalog.captions.listed(video.id))

    def watch(progress: JobProgress) -> None:
        report(
            ProgressUpdate(
                what=video.name, done=progress.done, total=progress.total, note=progress.note
            )
        )

    row = service.worker().run_job(enqueue_captions(service, video).id, watch=watch)
    if row.failure is not None:
        raise InputRefusedError(row.failure.message, hint=row.failure.hint)
    captions = service.catalog.captions.listed(video.id)
    return CaptionRunResponse(
        video_id=video.id,
        video=video.name,
        status=row.state,
        model=captions[-1].model if captions else "",
        captions=len(captions),
        written=len(captions) - n_before,
        wall_s=time.monotonic() - started,
    )


def list_captions(service: Service, name: str, find: str | None = None) -> CaptionsResponse:
    """The captions of a video in time order, or those that hold words, the best first.

    Raises:
        NotFoundError: No such video, or it has no captions.
    """
    video = service.catalog.videos.resolve(name)
    captions = service.catalog.captions.listed(video.id)
    if not captions:
        raise NotFoundError(
            f"{video.name} has no captions", hint=f"longwatch caption {video.id} writes them"
        )
    if find is None:
        labels = service.labels()
        items = [describe_caption(one, labels) for one in captions]
    else:
        items = service.search_captions(find, service.scope([video.id]))
    return CaptionsResponse(
        video_id=video.id, video=video.name, model=captions[-1].model, captions=items
    )
