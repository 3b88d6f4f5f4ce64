"""Cameras kept as files, so that the loss of the database loses no camera and no recording.

They lie in the object store too, where there is one: they hold addresses without their secrets.
"""

import logging
import shlex
from pathlib import Path

from app.services.cameras import has_sign_in
from app.services.context import ServiceContext
from app.services.filming_jobs import enqueue_filming, filming_jobs, is_filmed
from app.services.recorder import read_segment
from engine.errors import CorruptFileError
from engine.plural import counted
from storage.camera_file import (
    KeptCamera,
    read_camera_file,
    read_camera_files,
    write_camera_file,
)
from storage.camera_records import CameraRow
from storage.files import HomeFolder

_log = logging.getLogger(__name__)


def save_camera(context: ServiceContext, camera: CameraRow) -> None:
    """Write the file of a camera; it is put into the object store, at once or later.

    Raises:
        UnreachableError: It cannot be written, or the disk is full.
    """
    home = HomeFolder(context.settings.home)
    path, signs_in = home.camera_file(camera.id), has_sign_in(context, camera)
    if signs_in is None:
        # Whoever has its secret has said it.
        _bring(context, path)
        kept = read_camera_file(home, camera.id)
        signs_in = kept is not None and kept.has_sign_in
    write_camera_file(home, camera, has_sign_in=signs_in)
    context.far.publish(path, replaces=True)


def restore_cameras(context: ServiceContext) -> list[str]:
    """Add the rows of cameras that have files, here or in the store, and no rows; return sentences.

    Those whose sign-in is lost too come back switched off: cameras lock out who tries without.
    """
    known = {row.id for row in context.catalog.cameras.list()}
    home = HomeFolder(context.settings.home)
    for name in context.far.files(home.cameras):
        _bring(context, home.cameras / name)
    lost = [kept for kept in read_camera_files(home) if kept.id not in known]
    return [_restore(context, kept) for kept in lost]


def restore_recordings(context: ServiceContext) -> list[str]:
    """Add the rows of recorded files that are lost, and film what is to be filmed.

    Cameras that are filmed at this moment are left alone: they write such rows themselves.
    """
    jobs, sentences = filming_jobs(context), []
    for camera in context.catalog.cameras.list():
        save_camera(context, camera)
        if not is_filmed(context, jobs.get(camera.id)):
            n_files = _restore_segments(context, camera)
            if n_files:
                sentences.append(f"{camera.name}: {counted(n_files, 'recorded file')} found again")
        enqueue_filming(context, camera)
    return sentences


def _bring(context: ServiceContext, path: Path) -> None:
    """Have here what the object store says of a camera."""
    try:
        context.far.bring(path)
    except CorruptFileError as error:
        _log.warning("%s is passed over: %s", path.name, error)


def _restore(context: ServiceContext, kept: KeptCamera) -> str:
    has_secret = HomeFolder(context.settings.home).read_secret(kept.id) is not None
    is_locked_out = kept.has_sign_in and not has_secret
    row = context.catalog.cameras.restore(kept, enabled=kept.enabled and not is_locked_out)
    if not is_locked_out:
        return f"{row.name} is back among the cameras"
    scheme, _, rest = row.address.partition("://")
    address = shlex.quote(f"{scheme}://NAME:PASSWORD@{rest}")
    return (
        f"{row.name} is back among the cameras, switched off because its sign-in is lost "
        f"(`longwatch cameras set {shlex.quote(row.name)} --address {address} --on` sets it)"
    )


def _restore_segments(context: ServiceContext, camera: CameraRow) -> int:
    """Add the rows of a camera's files that have none; return how many."""
    segments = context.catalog.segments
    known = {row.name for row in segments.list(camera.id)}
    parts = context.catalog.videos.by_id()
    n_files = 0
    home = HomeFolder(context.settings.home)
    folder = home.recordings / camera.id
    stored = (folder / name for name in context.far.files(folder) if name.endswith(".mp4"))
    for path in sorted({*home.recorded_files(camera.id), *stored}):
        is_lost = path.name not in known and context.far.bring(path)
        row = read_segment(camera.id, path, parts) if is_lost else None
        if row is not None:
            segments.put(row)
            n_files += 1
    return n_files
