"""Files of a camera's recording as they grow, and their index.

A file is written as its bytes come; its row says how far it reached a few seconds ago, and who
plays it looks at the file itself. What cannot be written stops the recording, with a sentence, and
nothing else: frames, latents and answers go on.
"""

import io
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from app.services.context import ServiceContext
from engine.errors import LongwatchError
from engine.files import is_out_of_space
from engine.media.fragments import read_layout
from engine.media.recording import RecordedBytes
from engine.records import VideoId
from storage.camera_records import CameraRow, SegmentRow
from storage.files import HomeFolder
from storage.records import CameraId, VideoRow

ROW_EVERY_S: Final = 5.0
"""Footage between two updates of the row of a file that grows."""
_NAME: Final = re.compile(
    r"(?P<moment>\d{8}T\d{6}\.\d{3})Z-(?P<part>[0-9A-Za-z_]+)(?:-(?P<ms>\d{1,12}))?\.mp4"
)


class Recorder:
    """The recording of one connection to a camera."""

    def __init__(
        self, context: ServiceContext, camera: CameraRow, *, on_closed: Callable[[], None]
    ) -> None:
        """Begin without a file.

        Args:
            on_closed: Called whenever a file is complete.
        """
        self._context = context
        self._camera = camera
        self._home = HomeFolder(context.settings.home)
        self._on_closed = on_closed
        self._ordinal = -1
        self._file: io.FileIO | None = None
        self._row: SegmentRow | None = None
        self._row_s = 0.0
        self.trouble = ""
        """Why nothing is recorded at this time; empty while it is."""

    def take(self, piece: RecordedBytes, part: VideoId, start_at: datetime) -> None:
        """Write the next bytes.

        Args:
            part: The video that they belong to, should a file begin with them.
            start_at: The wall clock of its first frame.
        """
        if piece.ordinal != self._ordinal:
            self.close()
            self._ordinal = piece.ordinal
            self._open(piece, part, start_at)
        if self._file is None or self._row is None:
            return
        try:
            self._file.write(piece.data)
        except OSError as error:
            self._give_up(error)
            return
        self.trouble = ""
        self._row = replace(
            self._row, end_s=piece.end_s, n_bytes=self._row.n_bytes + len(piece.data)
        )
        if self._row.video == part:
            start_at += timedelta(seconds=piece.start_s)
            self._row = replace(self._row, start_at=start_at)
        if piece.is_last:
            self.close()
        elif piece.end_s - self._row_s >= ROW_EVERY_S:
            self._row_s = piece.end_s
            self._put(self._row)

    def close(self) -> None:
        """End the file that is open, and keep what is in it; may be called twice."""
        if self._file is None or self._row is None:
            return
        file, row = self._file, self._row
        self._file = self._row = None
        try:
            os.fsync(file.fileno())
        except OSError as error:
            self._say(error)
        file.close()
        path = self._home.recording(row.camera, row.name)
        settle_segment(self._context, row, path)
        self._on_closed()

    def _open(self, piece: RecordedBytes, part: VideoId, start_at: datetime) -> None:
        moment = start_at + timedelta(seconds=piece.start_s)
        if not self._has_room():
            self.trouble = "nothing is recorded: less than the reserve is free on the disk"
            return
        name = segment_name(moment, part, piece.start_s)
        path = self._home.recording(self._camera.id, name)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = open_file(path)
        except OSError as error:
            self._say(error)
            return
        self._row_s = piece.end_s
        self._row = SegmentRow(
            camera=self._camera.id,
            name=name,
            video=part,
            start_at=moment,
            start_s=piece.start_s,
            end_s=piece.end_s,
            n_bytes=0,
            is_open=True,
        )
        self._put(self._row)

    def _has_room(self) -> bool:
        reserve = self._context.settings.limits.disk_reserve_bytes
        return shutil.disk_usage(self._home.path).free >= reserve

    def _give_up(self, error: OSError) -> None:
        """End the file where its last whole fragment does; the next one is tried again."""
        self._say(error)
        self.close()

    def _say(self, error: OSError) -> None:
        reason = "the disk is full" if is_out_of_space(error) else error.strerror
        self.trouble = f"nothing is recorded: {reason}"

    def _put(self, row: SegmentRow) -> None:
        try:
            self._context.catalog.segments.put(row)
        except LongwatchError as error:
            # The row is a projection of the file; the next one, or the next start, makes it good.
            self.trouble = f"the index of the recording is behind: {error.message}"


def open_file(path: Path) -> io.FileIO:
    """Return a new file; unbuffered, so that a kill of this process loses nothing of it."""
    return io.FileIO(path, "xb")


def segment_name(start_at: datetime, part: VideoId, start_s: float) -> str:
    """Return the name of a file, which says what its row would, should that be lost.

    Args:
        start_at: The wall clock of its first picture, in UTC, as it is known when the file begins.
        start_s: That moment on the clock of the part, which is exact.
    """
    moment = f"{start_at:%Y%m%dT%H%M%S}.{start_at.microsecond // 1000:03d}Z"
    return f"{moment}-{part}-{round(start_s * 1000)}.mp4"


def named_part(name: str) -> str:
    """Return the part that a file of a recording was begun for, which may be gone since."""
    match = _NAME.fullmatch(name)
    return name if match is None else match["part"]


def read_segment(
    camera: CameraId, path: Path, parts: Mapping[VideoId, VideoRow]
) -> SegmentRow | None:
    """Return the row of a recorded file from its name and content; `None` of any other file.

    Args:
        parts: Videos by id; a file whose part is not among them has the wall clock of its name.
    """
    name = _NAME.fullmatch(path.name)
    if name is None:
        return None
    try:
        named_at = datetime.strptime(f"{name['moment']}000+0000", "%Y%m%dT%H%M%S.%f%z")
        layout = read_layout(path, keeps=False)
    except (OSError, ValueError):
        return None
    if layout.last_pictures is None:
        return None
    part = parts.get(VideoId(name["part"]))
    begins_at = None if part is None else part.start_at
    start_s = 0.0
    if name["ms"] is not None:
        start_s = int(name["ms"]) / 1000
    elif begins_at is not None:
        # Files of earlier versions name the moment alone.
        start_s = max(0.0, (named_at - begins_at).total_seconds())
    start_at = None if part is None else part.at(start_s)
    return SegmentRow(
        camera=camera,
        name=path.name,
        video=None if part is None else part.id,
        start_at=start_at or named_at,
        start_s=start_s,
        end_s=start_s + layout.length_s,
        n_bytes=path.stat().st_size,
        is_open=False,
    )


def settle_segment(context: ServiceContext, row: SegmentRow, path: Path) -> None:
    """Bring the row of a file that no longer grows up to what the file holds."""
    segments = context.catalog.segments
    try:
        layout = read_layout(path, keeps=False)
    except (OSError, ValueError):
        layout = None
    if layout is None or layout.last_pictures is None:
        path.unlink(missing_ok=True)
        segments.remove(row.camera, [row.name])
        return
    segments.put(
        replace(
            row,
            end_s=max(row.end_s, row.start_s + layout.length_s),
            n_bytes=path.stat().st_size,
            is_open=False,
        )
    )
    if context.objects is not None:
        # Later, on a thread of its own: a slow store must not hold up what a camera sends.
        context.objects.postponed.add(path)


def correct_segments(context: ServiceContext, part: VideoRow) -> None:
    """Set the wall clock of the files of a part from that of the part."""
    for row in context.catalog.segments.of_video(part.id):
        start_at = part.at(row.start_s)
        if start_at is not None and row.start_at != start_at:
            context.catalog.segments.put(replace(row, start_at=start_at))


def settle_recordings(context: ServiceContext, camera: CameraRow) -> None:
    """Bring the index up to the files that a killed process has left open."""
    home = HomeFolder(context.settings.home)
    for row in context.catalog.segments.list(camera.id):
        if row.is_open:
            settle_segment(context, row, home.recording(camera.id, row.name))
