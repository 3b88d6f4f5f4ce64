"""Chapters and summary of a recording, from observations, captions and changes of scene."""

from app.schemas.ask import describe_row
from app.schemas.common import VideoLabels, describe_span
from app.schemas.moments import MomentItem, MomentsResponse
from app.services.access import FULL_ACCESS, Access, find_video
from app.services.context import ServiceContext
from app.services.job_kinds import OBSERVE
from app.services.observed_footage import gather_footage
from app.services.overview import NO_OBSERVER
from app.services.scope import Bound, keep_hours, resolve_scope
from engine.pipeline.chapters import RecordingChapter, find_chapters
from engine.pipeline.compose.overview import summarise
from engine.pipeline.question_kinds import read_question
from engine.pipeline.scene_changes import scene_changes
from storage.records import MOST_GROUNDS, VideoRow

NOTHING = "Nothing was recognised."
OBSERVING = "This video is being observed; what happens in it is told once something was seen."
NOT_OBSERVED = "Nothing was observed in this video yet; `longwatch observe` looks at it."


def list_moments(
    context: ServiceContext,
    video: str,
    *,
    after: Bound = None,
    before: Bound = None,
    hours: str | None = None,
    access: Access = FULL_ACCESS,
) -> MomentsResponse:
    """Return the chapters of a video in time order, with a summary.

    Args:
        context: Of the library.
        video: As `find_video` takes it.
        after: The earliest moment.
        before: The end, not included.
        hours: Only within these hours of each day, as `22:00-06:00`.
        access: Whose videos count.
    Raises:
        NotFoundError: No such video, or nothing of it lies within the bounds.
        InputRefusedError: These are no hours of a day.
    """
    row = find_video(context, video, access)
    scope = resolve_scope(context, [row.id], after=after, before=before, access=access)
    if hours is not None:
        scope = keep_hours(context, scope, hours)
    footage = gather_footage(context, scope)
    cuts = [
        time_s
        for item in footage.watched
        for time_s in scene_changes(context.stills, item.video, item.span)
    ]
    captions = context.catalog.captions.list(row.id)
    labels = context.labels()
    summary = summarise(footage, read_question("What happens?")) if footage.reach else None
    chapters = find_chapters(footage, {row.id: cuts}, captions)
    return MomentsResponse(
        video_id=row.id,
        video=row.name,
        summary=summary.text if summary else NOTHING if footage.reach else _unseen(context, row),
        moments=[_describe(chapter, labels) for chapter in chapters],
        observed=sorted({seen.kind for seen in footage.reach}),
    )


def _unseen(context: ServiceContext, video: VideoRow) -> str:
    """Return why nobody can say what happens in a video."""
    if not context.settings.sight.observers:
        return NO_OBSERVER
    jobs = context.catalog.jobs.list("queued", "running", video=video.id)
    return OBSERVING if any(job.kind == OBSERVE for job in jobs) else NOT_OBSERVED


def _describe(chapter: RecordingChapter, labels: VideoLabels) -> MomentItem:
    return MomentItem(
        **describe_span(chapter.video, chapter.span, labels).model_dump(),
        title=chapter.title,
        keyframe_s=chapter.keyframe_s,
        observations=[describe_row(row) for row in chapter.observations[:MOST_GROUNDS]],
    )
