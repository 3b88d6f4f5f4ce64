"""Recordings of cameras as something that plays: a part, a moment, or a stretch of the wall clock.

Decision: a part's files are served as one long MP4 file that is put together while it is read, with
an index of its keyframes at the front. Because browsers seek in it by Range like in any other, and
its clock is the part's own: evidence, strip and player agree without a second clock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from app.config.engine_config import media_limits
from app.schemas.common import MessageResponse
from app.services.context import ServiceContext
from app.services.originals import is_stored
from app.timefmt import clock_text, wall_clock
from engine.errors import InputRefusedError, NotFoundError
from engine.media.fragments import FragmentedFile, JoinedRecording, RecordedFile
from engine.media.kept_layout import layout_path, read_kept_layout
from engine.records import TimeSpan
from storage.camera_records import CameraRow, SegmentRow
from storage.files import HomeFolder
from storage.records import VideoRow

_BLOCK_BYTES = 1 << 20


def is_recorded(context: ServiceContext, row: VideoRow) -> bool:
    """Tell whether something of a video can be played from a camera's recording."""
    return row.camera is not None and bool(context.catalog.segments.recorded([row.id]))


def play_recording(context: ServiceContext, row: VideoRow) -> JoinedRecording:
    """Return the recording of a part as one file, on the clock of the part.

    Raises:
        NotFoundError: Nothing of it is recorded, or it was deleted by age or size.
    """
    return _join(context, row.name, context.catalog.segments.of_video(row.id))


def recording_shift_s(context: ServiceContext, row: VideoRow) -> float:
    """Return when a recorded part's own clock is at 0, by the clock of `play_recording`."""
    for segment in context.catalog.segments.of_video(row.id)[:1]:
        # Deleted by age at this moment.
        with suppress(ValueError):
            return JoinedRecording([_file(context, segment)]).shift_s
    return 0.0


def recording_at(context: ServiceContext, row: VideoRow, time_s: float) -> RecordedFile | None:
    """Return the file of a recording that holds a moment of a part; `None` where none does."""
    if row.camera is None:
        return None
    for segment in context.catalog.segments.of_video(row.id):
        reaches = segment.is_open or time_s < segment.end_s
        if segment.start_s <= time_s and reaches:
            return _file(context, segment)
    return None


@contextmanager
def recorded_span(
    context: ServiceContext, row: VideoRow, span: TimeSpan
) -> Iterator[tuple[Path, TimeSpan]]:
    """Hold a file with what is recorded of a span, and the span on the clock of that file.

    Raises:
        NotFoundError: Nothing of the span is recorded.
    """
    segments = [
        segment
        for segment in context.catalog.segments.of_video(row.id)
        if segment.start_s < span.end_s and (segment.is_open or segment.end_s > span.start_s)
    ]
    with _joined_file(context, row.name, segments) as path:
        start_s = max(0.0, span.start_s - segments[0].start_s)
        yield path, TimeSpan(start_s=start_s, end_s=span.end_s - segments[0].start_s)


def export_camera_clip(
    context: ServiceContext,
    camera: CameraRow,
    start_at: datetime,
    end_at: datetime,
    path: Path,
    *,
    most_s: float | None = None,
    may_replace: bool = False,
) -> MessageResponse:
    """Cut a clip out of a camera's recording by the wall clock, across its parts.

    Raises:
        InputRefusedError: The span is empty or too long, or the file is there.
        NotFoundError: Nothing of it is recorded.
    """
    length_s = (end_at - start_at).total_seconds()
    if length_s <= 0:
        raise InputRefusedError("the clip ends before it starts", hint="give a later end")
    if most_s is not None and length_s > most_s:
        raise InputRefusedError(f"the clip has {length_s:g} s, the limit is {most_s:g} s")
    if path.exists() and not may_replace:
        raise InputRefusedError(f"{path} is there already", hint="--force overwrites it")
    segments = segments_within(context, camera, start_at, end_at)
    clip = cut_recording(context, camera.name, segments, start_at, end_at, path)
    zone = context.settings.media.zone(camera.timezone)
    begins, ends = (
        clock_text(wall_clock(moment, 0.0, zone) or "") for moment in (clip.start_at, clip.end_at)
    )
    return MessageResponse(message=f"{path} holds {camera.name} from {begins} to {ends}")


def segments_within(
    context: ServiceContext, camera: CameraRow, start_at: datetime, end_at: datetime
) -> list[SegmentRow]:
    """Return the files of a recording that reach into a span, in time order."""
    return [
        segment
        for segment in context.catalog.segments.list(camera.id, before=end_at)
        if segment.is_open or segment.end_at > start_at
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedClip:
    """The content of a clip by the wall clock."""

    start_at: datetime
    end_at: datetime
    reencoded: bool


def cut_recording(
    context: ServiceContext,
    name: str,
    segments: Sequence[SegmentRow],
    start_at: datetime,
    end_at: datetime,
    path: Path,
) -> RecordedClip:
    """Cut a clip out of files of a recording by the wall clock.

    Args:
        name: Of the camera, for messages.
        segments: In time order.
    Raises:
        NotFoundError: None of them holds anything.
        MediaRefusedError: No picture lies in the span.
    """
    # Late: the decoder, which a list of cameras does without.
    from engine.media.clip import cut

    with _joined_file(context, name, segments, by_wall_clock=True) as joined:
        first_at = segments[0].start_at
        span = TimeSpan(
            start_s=max(0.0, (start_at - first_at).total_seconds()),
            end_s=(end_at - first_at).total_seconds(),
        )
        clip = cut(str(joined), span, path, limits=media_limits(context.settings))
    return RecordedClip(
        start_at=first_at + timedelta(seconds=clip.span.start_s),
        end_at=first_at + timedelta(seconds=clip.span.end_s),
        reencoded=clip.reencoded,
    )


@contextmanager
def _joined_file(
    context: ServiceContext,
    name: str,
    segments: Sequence[SegmentRow],
    *,
    by_wall_clock: bool = False,
) -> Iterator[Path]:
    joined = _join(context, name, segments, by_wall_clock=by_wall_clock)
    folder = HomeFolder(context.settings.home).thumbs
    folder.mkdir(parents=True, exist_ok=True)
    # Below the home folder: a temporary file system may be small.
    with TemporaryDirectory(prefix="clip-", dir=folder) as temporary:
        path = Path(temporary) / "recording.mp4"
        with path.open("wb") as file:
            for start in range(0, joined.n_bytes, _BLOCK_BYTES):
                for block in joined.read(start, min(joined.n_bytes, start + _BLOCK_BYTES)):
                    file.write(block)
        yield path


def _join(
    context: ServiceContext,
    name: str,
    segments: Sequence[SegmentRow],
    *,
    by_wall_clock: bool = False,
) -> JoinedRecording:
    home = HomeFolder(context.settings.home)
    paths = [home.recording(segment.camera, segment.name) for segment in segments]
    if context.objects is not None:
        # Of files that lie in the object store alone; what is played of them is read from there.
        context.objects.bring_all(layout_path(path) for path in paths if not path.exists())
    try:
        first_at = segments[0].start_at if segments else None
        return JoinedRecording(
            [
                _file(
                    context,
                    segment,
                    start_s=(segment.start_at - first_at).total_seconds()
                    if by_wall_clock and first_at is not None
                    else segment.start_s,
                )
                for segment in segments
            ]
        )
    except ValueError as error:
        raise NotFoundError(
            f"nothing of {name} is recorded at that time",
            hint="it was not filmed, or its recording was deleted by age or size",
        ) from error


def _file(
    context: ServiceContext, segment: SegmentRow, *, start_s: float | None = None
) -> RecordedFile:
    path = HomeFolder(context.settings.home).recording(segment.camera, segment.name)
    return RecordedFile(
        path=path,
        start_s=segment.start_s if start_s is None else start_s,
        layout=_stored_layout(context, path),
    )


def _stored_layout(context: ServiceContext, path: Path) -> FragmentedFile | None:
    """Return the layout of a file that lies in the object store alone; `None` of any other."""
    objects = context.objects
    if objects is None or path.exists() or not is_stored(context, path):
        return None
    try:
        return read_kept_layout(path, lambda start, end: objects.read(path, start, end))
    except (OSError, ValueError):
        # It was not put there with its layout: fetched whole it has one.
        objects.bring(path)
        return None
