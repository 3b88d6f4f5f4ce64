"""Captions of every chunk as a job: written down one by one, so that a cut-off run goes on."""

from typing import Final

from app.progress import JobControl
from app.schemas.captions import CaptionRunResponse, CaptionsResponse, describe_caption
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.context import ServiceContext
from app.services.question_text import check_text
from app.services.scope import resolve_scope
from engine.errors import NotFoundError
from engine.pipeline.caption import caption
from engine.plural import counted
from engine.protocols import Sampling
from engine.records import Caption, VideoId
from storage.records import JobRow, VideoRow

KIND: Final = "caption"


def enqueue_captions(context: ServiceContext, video: VideoRow) -> JobRow:
    """Queue the captioning of a video; a job that waits or runs already is returned."""
    for job in context.catalog.jobs.list("queued", "running", video=video.id):
        if job.kind == KIND:
            return job
    # Not in the stream of its ingest: that of a camera never ends.
    return context.catalog.jobs.add(KIND, {}, video=video.id, stream=f"{KIND}/{video.id}")


def run_captions(context: ServiceContext, job: JobRow, control: JobControl) -> None:
    """Caption the chunks of a job's video that have no caption yet."""
    assert job.video is not None, "captions belong to a video"
    video = context.catalog.videos.get(job.video)
    known = frozenset(row.ref for row in context.catalog.captions.list(video.id))
    n_done = len(known)
    control.progress(n_done, video.n_chunks)
    sampling = Sampling(max_tokens=context.settings.limits.answer_tokens)
    for written in caption(context.engine, video.id, known=known, sampling=sampling):
        context.catalog.captions.add(written, holder=job)
        n_done += 1
        # A camera may have been read further meanwhile.
        total = max(n_done, video.n_chunks)
        control.progress(n_done, total, f"chunk {n_done} of {total}")
        if control.should_stop():
            return


def describe_interruption(context: ServiceContext, video: str) -> str:
    """Return what an interrupted captioning has kept, and how to go on."""
    row = find_video(context, video)
    n_kept = len(context.catalog.captions.list(row.id))
    return (
        f"stopped; {counted(n_kept, 'caption')} of {counted(row.n_chunks, 'chunk')} of {row.name} "
        "are kept; the same command goes on there"
    )


def list_captions(
    context: ServiceContext, video: str, find: str | None = None, *, access: Access = FULL_ACCESS
) -> CaptionsResponse:
    """Return the captions of a video in time order, or those that hold words, best first.

    Args:
        find: The words; every caption when `None`.
    Raises:
        NotFoundError: No such video, or it has no captions.
    """
    row = find_video(context, video, access)
    captions = context.catalog.captions.list(row.id)
    if not captions:
        raise NotFoundError(
            f"{row.name} has no captions", hint=f"longwatch caption {row.id} writes them"
        )
    shown = captions
    if find is not None:
        check_text(context, "query", find)
        scope = resolve_scope(context, [row.id], access=access)
        shown = tuple(match.caption for match in context.catalog.captions.matching(find, scope))
    labels = context.labels()
    return CaptionsResponse(
        video_id=row.id,
        video=row.name,
        model=captions[-1].model,
        captions=[describe_caption(caption, labels) for caption in shown],
    )


def caption_rows(context: ServiceContext, video: VideoId) -> tuple[Caption, ...]:
    """Return the captions of a video in time order; none until it is captioned."""
    return context.catalog.captions.list(video)


def describe_run(
    context: ServiceContext, video: VideoRow, job: JobRow, *, n_before: int, wall_s: float
) -> CaptionRunResponse:
    """Return a finished captioning as its document.

    Args:
        n_before: Captions that were there when it began.
    """
    captions = context.catalog.captions.list(video.id)
    return CaptionRunResponse(
        video_id=video.id,
        video=video.name,
        status=job.state,
        model=captions[-1].model if captions else "",
        captions=len(captions),
        written=len(captions) - n_before,
        wall_s=wall_s,
    )
