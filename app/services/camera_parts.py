"""The end of a camera's parts: what was read of each is counted, and one without anything goes."""

from app.services.context import ServiceContext
from app.services.observe import enqueue_observe
from app.services.recorder import correct_segments, settle_recordings
from app.services.resume import INTERRUPTED, bring_rows_up
from app.services.sidecar import save_sidecar
from app.services.timelines import parts_of
from engine.records import SampleStats, VideoId
from storage.camera_records import CameraRow
from storage.records import JobRow


def settle_parts(context: ServiceContext, camera: CameraRow, *, holder: JobRow) -> None:
    """End the parts that a killed process was reading: what a camera showed is not shown again.

    Args:
        holder: The job that films the camera now.
    Raises:
        LeaseLostError: Another worker has that job by now.
    """
    settle_recordings(context, camera)
    for row in parts_of(context, camera):
        if row.status in INTERRUPTED and row.media is not None and row.media.is_live:
            if row.fingerprint == context.engine.fingerprint:
                bring_rows_up(context, row, is_resumed=True, holder=holder)
            finish_part(context, camera, row.id, None, wall_s=0.0, holder=holder)


def finish_part(
    context: ServiceContext,
    camera: CameraRow,
    video: VideoId,
    stats: SampleStats | None,
    *,
    wall_s: float,
    holder: JobRow,
) -> None:
    """Write down that a part has ended; one of which nothing is kept is removed.

    Args:
        holder: The job that films the camera.
    Raises:
        LeaseLostError: Another worker has that job by now: it has ended the part.
    """
    row = context.catalog.videos.get(video)
    if not row.n_chunks and not context.catalog.segments.of_video(video):
        context.catalog.videos.remove(video, holder=holder)
        return
    correct_segments(context, row)
    row = context.catalog.videos.end_ingest(
        video, "ready", wall_s=wall_s, stats=stats, holder=holder
    )
    if row.fingerprint is not None:
        save_sidecar(context, row)
        enqueue_observe(context, row, camera.watch, has_more=True)
