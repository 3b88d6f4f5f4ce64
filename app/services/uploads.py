"""Resumable uploads: announced, received in parts, then taken into the library.

Decision: a part is written straight to its place in one file below `uploads/` and noted in the
database only when it is on the disk; the whole file is then renamed into `media/`, never copied.
A kill between the two costs at most the part under way; one before the whole file became a video
is made up for at the next start, or when the sender asks again.
Decision: where several servers share a library, a part is written under a lease in the database,
renewed before every block; a server that was killed keeps an upload from the others for as long.
"""

import logging
import os
import re
import secrets
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Final

from app.config.settings import Settings
from app.errors import ConflictError, hint_for
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.ingest_jobs import enqueue_ingest
from app.services.library import MAX_NAME_CHARS
from app.services.previews import enqueue_preview
from engine.errors import (
    DiskFullError,
    InputRefusedError,
    LimitExceededError,
    LongwatchError,
    NotFoundError,
    UnreachableError,
)
from engine.files import fsync_rename, make_folder
from storage.catalog import utc_now
from storage.files import HomeFolder
from storage.records import UploadId, UploadRow, UserId, VideoRow

_log = logging.getLogger(__name__)

KEPT_DAYS: Final = 7
"""Days that an upload waits to be continued."""
NOTED_EVERY_BYTES: Final = 32 << 20
"""Bytes on disk between two notes in the database while one long part arrives."""
MAX_OPEN_UPLOADS: Final = 32
PART_LEASE_S: Final = 15.0
"""Seconds without a block after which another server may write: a sender that was cut off comes
back sooner than that, and is told to wait."""
_BUSY_PART: Final = "another part of this upload is being written"
_GO_ON: Final = "ask with HEAD where to go on"

_announcing = threading.Lock()


class PartLocks:
    """One part of an upload at a time: two tabs, or two servers, must not write over each other."""

    def __init__(self, context: ServiceContext | None = None) -> None:
        """Begin with nothing held.

        Args:
            context: Of a library that other servers may write to as well.
        """
        self._context = context
        self._busy: set[UploadId] = set()
        self._changing = threading.Lock()

    @contextmanager
    def hold(self, upload: UploadId) -> Iterator["PartLock"]:
        """Keep every other part of an upload out while the body runs.

        Raises:
            ConflictError: Another part is being written.
        """
        lock = self.take(upload)
        try:
            yield lock
        finally:
            lock.release()

    def take(self, upload: UploadId) -> "PartLock":
        """Return the lock of an upload, which is to be released.

        Raises:
            ConflictError: Another part is being written.
        """
        with self._changing:
            if upload in self._busy:
                raise ConflictError(_BUSY_PART, hint=_GO_ON)
            self._busy.add(upload)
        lock = PartLock(upload, self._context, lambda: self._busy.discard(upload))
        try:
            lock.renew()
        except BaseException:
            lock.release()
            raise
        return lock


class PartLock:
    """The right to write a part of one upload."""

    def __init__(
        self, upload: UploadId, context: ServiceContext | None, let_go: Callable[[], None]
    ) -> None:
        is_shared = context is not None and context.catalog.is_shared
        self._leases = context.catalog.leases if context is not None and is_shared else None
        self._name, self._owner = f"upload {upload}", secrets.token_hex(8)
        self._let_go = let_go
        self._renewed_s = float("-inf")

    def renew(self) -> None:
        """Keep the servers beside this one out for longer.

        Raises:
            ConflictError: One of them has taken the upload over.
        """
        if self._leases is None or time.monotonic() - self._renewed_s < PART_LEASE_S / 3:
            return
        if not self._leases.take(self._name, self._owner, lease_s=PART_LEASE_S):
            raise ConflictError(_BUSY_PART, hint=_GO_ON)
        self._renewed_s = time.monotonic()

    def release(self) -> None:
        """Let the next part in."""
        self._let_go()
        if self._leases is not None:
            self._leases.release(self._name, self._owner)


class UploadPart:
    """A part under way, written behind what is here already; `close` it in any case."""

    def __init__(
        self,
        context: ServiceContext,
        row: UploadRow,
        offset_bytes: int,
        lock: PartLock | None = None,
    ) -> None:
        """Open the file at the place where the part begins; a complete one takes only nothing.

        Args:
            context: Of the library.
            row: The upload as it stands.
            offset_bytes: Where the part begins, as its sender says.
            lock: Keeps other servers out while blocks come.
        Raises:
            ConflictError: The part does not begin where the file ends.
            DiskFullError: Less than the reserve is free.
            UnreachableError: What has arrived so far lies on another server.
        """
        if offset_bytes != row.offset_bytes:
            raise ConflictError(
                f"the part begins at byte {offset_bytes}, the file ends at {row.offset_bytes}",
                hint=_GO_ON,
            )
        self._lock = lock
        self._uploads, self._row = context.catalog.uploads, row
        self._reserve_bytes = int(context.settings.limits.disk_reserve_bytes)
        self._noted = self._position = offset_bytes
        part = _part_file(context.settings, row.id)
        self._folder = part.parent
        self._file: FileIO | None = None
        if not row.is_complete:
            if not part.exists():
                raise _elsewhere(row)
            _check_room(self._folder, 0, self._reserve_bytes)
            # A complete one may lie in `media/` already.
            self._file = FileIO(part, "r+b")
            self._file.seek(offset_bytes)

    def write(self, block: bytes) -> None:
        """Append bytes to the file.

        Raises:
            InputRefusedError: More arrives than was announced.
            ConflictError: Another server has taken the upload over.
            DiskFullError: The disk takes no more; what was written before stays.
        """
        if self._position + len(block) > self._row.size_bytes:
            raise InputRefusedError(
                f"more arrives than the {self._row.size_bytes} bytes that were announced"
            )
        if self._file is None:
            return
        if self._lock is not None:
            self._lock.renew()
        view = memoryview(block)
        while view:
            try:
                view = view[os.write(self._file.fileno(), view) :]
            except OSError as error:
                raise DiskFullError(
                    f"{self._row.name}: a part could not be written ({error.strerror})",
                    hint="free some space; the upload goes on where it stopped",
                ) from error
        self._position += len(block)
        if self._position - self._noted >= NOTED_EVERY_BYTES:
            self._note()
            # Others write too: the room that was reserved may be gone.
            _check_room(self._folder, 0, self._reserve_bytes)

    def close(self) -> UploadRow:
        """Note what is here, also of a part that broke off, and return the upload as it stands."""
        try:
            self._note()
        finally:
            if self._file is not None:
                self._file.close()
        return self._uploads.get(self._row.id)

    def _note(self) -> None:
        if self._file is not None and self._position > self._noted:
            # On the disk first: what the database promises has to be there after a power cut.
            os.fdatasync(self._file.fileno())
            is_noted = self._uploads.advance(
                self._row.id,
                from_bytes=self._noted,
                to_bytes=self._position,
                expires_at=_expiry(),
            )
            self._noted = self._position
            if not is_noted:
                raise ConflictError(_BUSY_PART, hint=_GO_ON)


def announce_upload(
    context: ServiceContext, user: UserId, *, size_bytes: int, file_name: str
) -> UploadRow:
    """Check size, room and number of uploads, and make the empty file that parts go into.

    Args:
        file_name: As the sender calls the file; only shown, never used as a path.
    Raises:
        LimitExceededError: It is larger than `limits.upload_bytes`.
        DiskFullError: With what is announced already, it would not leave the reserve free.
        InputRefusedError: The user has too many open uploads.
    """
    limits, name = context.settings.limits, clean_name(file_name)
    if size_bytes > limits.upload_bytes:
        raise LimitExceededError(
            f"{name}: size in bytes",
            size_bytes,
            int(limits.upload_bytes),
            field="max_bytes",
        )
    folder = HomeFolder(context.settings.home).uploads
    folder.mkdir(parents=True, exist_ok=True)
    remove_expired(context)
    # One after the other: two that are announced at once must not be promised the same room.
    with _announcing:
        still_open = [row for row in context.catalog.uploads.list() if not row.is_complete]
        reserved_bytes = sum(row.size_bytes - row.offset_bytes for row in still_open)
        _check_room(folder, size_bytes + reserved_bytes, int(limits.disk_reserve_bytes))
        n_open = sum(row.user == user for row in still_open)
        if n_open >= MAX_OPEN_UPLOADS:
            raise InputRefusedError(
                f"{n_open} uploads are open already", hint="finish or cancel one of them"
            )
        row = context.catalog.uploads.add(
            name=name, size_bytes=size_bytes, expires_at=_expiry(), user=user
        )
    _part_file(context.settings, row.id).touch()
    return row


def find_upload(context: ServiceContext, user: UserId, upload_id: str) -> UploadRow:
    """Return an upload of this user: to anyone else it does not exist.

    Raises:
        NotFoundError: The user has none of this id.
    """
    row = context.catalog.uploads.get(UploadId(upload_id))
    if row.user != user:
        raise NotFoundError(f"no upload {upload_id!r}")
    return row


def admit_upload(context: ServiceContext, row: UploadRow) -> VideoRow:
    """Rename a whole file into the library, probe it, and queue its reading.

    Killed anywhere and called again it goes on: a step that is done is not done again. A file
    that is refused is removed with its upload: nothing of it stays.

    Raises:
        InputRefusedError: It is no video that can be read.
        NotFoundError: Its bytes are gone; the upload is removed.
        UnreachableError: Its bytes may lie on another server.
    """
    if row.video is not None:
        return context.catalog.videos.get(row.video)
    target = HomeFolder(context.settings.home).original(row.id)
    make_folder(target.parent)
    part = _part_file(context.settings, row.id)
    if part.exists():
        fsync_rename(part, target)
    elif not target.exists() and context.catalog.is_shared:
        raise _elsewhere(row)
    elif not target.exists():
        context.catalog.uploads.remove(row.id)
        raise NotFoundError(f"{row.name}: what was uploaded is gone", hint="upload it again")
    try:
        video = add_source(context, str(target), name=row.name, file_name=row.name)
    except InputRefusedError as error:
        target.unlink(missing_ok=True)
        context.catalog.uploads.remove(row.id)
        # The user knows the file by its name, and need not know where it lay.
        message = error.message.replace(str(target), row.name)
        raise InputRefusedError(message, hint=hint_for(error)) from error
    if video.uri != str(target):
        # The same content is here already: the older file is the one that counts.
        target.unlink(missing_ok=True)
    else:
        # Before a job is queued: whichever machine takes it finds the file.
        context.far.publish(target, replaces=False)
    context.catalog.uploads.link_video(row.id, video.id)
    if video.status in {"queued", "failed", "cancelled"}:
        enqueue_ingest(context, video)
    enqueue_preview(context, video)
    return video


def remove_upload(context: ServiceContext, row: UploadRow) -> None:
    """Delete what has arrived; a video that it became already stays."""
    _part_file(context.settings, row.id).unlink(missing_ok=True)
    if row.video is None:
        HomeFolder(context.settings.home).original(row.id).unlink(missing_ok=True)
    context.catalog.uploads.remove(row.id)


def finish_uploads(context: ServiceContext, locks: PartLocks) -> None:
    """Take in the files that were complete when a server was killed, and delete expired uploads."""
    for row in context.catalog.uploads.list():
        if row.is_complete and row.video is None:
            try:
                with locks.hold(row.id):
                    video = admit_upload(context, context.catalog.uploads.get(row.id))
                _log.info("upload %s, complete since an earlier run, is video %s", row.id, video.id)
            except LongwatchError as error:
                _log.warning("upload %s could not be taken in: %s", row.id, error)
    remove_expired(context)


def remove_expired(context: ServiceContext) -> None:
    """Delete uploads that nobody continued in time; complete ones wait for `finish_uploads`."""
    for row in context.catalog.uploads.expired():
        if not row.is_complete:
            remove_upload(context, row)


def clean_name(name: str) -> str:
    """Return a file's name as it is shown: no folders, no control characters, not too long."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    shown = "".join(sign for sign in last if unicodedata.category(sign)[0] != "C").strip(" .")
    stem, dot, suffix = shown.rpartition(".")
    shown = stem if dot and len(suffix) <= 5 and stem else shown
    return shown[:MAX_NAME_CHARS].strip() or "upload"


def _elsewhere(row: UploadRow) -> UnreachableError:
    return UnreachableError(
        f"{row.name}: what has arrived of this upload is not on this server",
        hint="share the folder uploads/ among the servers, or cancel the upload and begin again",
    )


def _part_file(settings: Settings, upload: UploadId) -> Path:
    return HomeFolder(settings.home).upload_part(upload)


def _check_room(folder: Path, size_bytes: int, reserve_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes - size_bytes < reserve_bytes:
        raise DiskFullError(
            f"{size_bytes / 1e9:.2f} GB of uploads do not fit: "
            f"{free_bytes / 1e9:.2f} GB are free, of which {reserve_bytes / 1e9:.2f} GB stay free",
            hint="delete a video, or lower the setting limits.disk_reserve_bytes",
        )


def _expiry() -> datetime:
    return utc_now() + timedelta(days=KEPT_DAYS)
