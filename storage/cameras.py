"""Cameras: how each is reached, what is kept of it, and its state with since when."""

import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.errors import InputRefusedError, NotFoundError
from storage.camera_file import KeptCamera
from storage.camera_records import CameraRetention, CameraRow, CameraState, CameraTransport
from storage.camera_tables import CameraGrantTable, CameraTable
from storage.database import Database
from storage.fence import check_held
from storage.records import CameraId, JobRow, UserId
from storage.tables import VideoTable


class Cameras:
    """Cameras by id or name, and who may see them."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def add(
        self,
        *,
        name: str,
        address: str,
        timezone: str | None = None,
        fps: float | None = None,
        watch: tuple[str, ...] = (),
        records: bool = True,
        records_sound: bool = True,
        transport: CameraTransport = "auto",
        retention: CameraRetention | None = None,
    ) -> CameraRow:
        """Add a camera, switched on.

        Args:
            address: Without secrets.
        Raises:
            InputRefusedError: The name is taken, in this case or another.
        """
        now = self._now()
        row = CameraTable(
            id=secrets.token_hex(6),
            name=name,
            folded_name=name.casefold(),
            address=address,
            timezone=timezone,
            fps=fps,
            watch=[*watch],
            records=records,
            records_sound=records_sound,
            transport=transport,
            enabled=True,
            state="off",
            state_since=now,
            created_at=now,
            **asdict(retention or CameraRetention()),
        )
        return self._put(row)

    def restore(self, kept: KeptCamera, *, enabled: bool) -> CameraRow:
        """Add the row of a camera whose file is here; a name that is taken gets a number."""
        taken, name, number = {row.name.casefold() for row in self.list()}, kept.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{kept.name} ({number})"
        row = CameraTable(
            id=kept.id,
            name=name,
            folded_name=name.casefold(),
            address=kept.address,
            timezone=kept.timezone,
            fps=kept.fps,
            watch=[*kept.watch],
            records=kept.records,
            records_sound=kept.records_sound,
            transport=kept.transport,
            enabled=enabled,
            state="off",
            state_since=self._now(),
            created_at=kept.created_at,
            **asdict(kept.retention),
        )
        return self._put(row)

    def list(self) -> tuple[CameraRow, ...]:
        """Return every camera, by name."""
        with self._database.reading() as session:
            rows = session.scalars(select(CameraTable).order_by(CameraTable.folded_name))
            return tuple(map(_camera, rows))

    def get(self, camera: CameraId) -> CameraRow:
        """Return the camera of an id.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.reading() as session:
            return _camera(_locked(session, camera))

    def find(self, name: str) -> CameraRow | None:
        """Return the camera of a name, in whatever case; `None` where there is none."""
        with self._database.reading() as session:
            row = session.scalar(
                select(CameraTable).where(CameraTable.folded_name == name.casefold())
            )
            return None if row is None else _camera(row)

    def change(self, camera: CameraId, **changes: Any) -> CameraRow:
        """Set fields of a camera.

        Args:
            changes: Fields of `CameraRow`; `retention` is set as a whole.
        Raises:
            InputRefusedError: The new name is taken.
        """
        if "name" in changes:
            changes["folded_name"] = changes["name"].casefold()
        if "watch" in changes:
            changes["watch"] = [*changes["watch"]]
        if "retention" in changes:
            changes |= asdict(changes.pop("retention"))
        try:
            with self._database.writing() as session:
                row = _locked(session, camera)
                for field, value in changes.items():
                    setattr(row, field, value)
                session.flush()
                return _camera(row)
        except IntegrityError as error:
            raise _taken(str(changes.get("name"))) from error

    def set_state(
        self,
        camera: CameraId,
        state: CameraState,
        note: str = "",
        *,
        holder: JobRow | None = None,
    ) -> CameraRow:
        """Set how a camera is doing; since when changes only with the state itself.

        Args:
            holder: The job that films it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = _locked(session, camera)
            check_held(session, holder)
            if row.state != state:
                row.state, row.state_since = state, self._now()
            row.state_note = note
            return _camera(row)

    def count(
        self,
        camera: CameraId,
        *,
        connects: int = 0,
        dropped: int = 0,
        last_frame_at: datetime | None = None,
        holder: JobRow | None = None,
    ) -> None:
        """Add to what is counted of a camera.

        Args:
            connects: Connections that brought a picture.
            dropped: Frames that nobody had time to look at.
            last_frame_at: The wall clock of the newest frame; `None` leaves it.
            holder: The job that films it, as it was claimed.
        Raises:
            LeaseLostError: Another worker has that job by now.
        """
        with self._database.writing() as session:
            row = _locked(session, camera)
            check_held(session, holder)
            row.n_connects += connects
            row.frames_dropped += dropped
            row.last_frame_at = last_frame_at or row.last_frame_at

    def remove(self, camera: CameraId) -> None:
        """Delete a camera with the rows of its recordings; its videos become ordinary ones."""
        with self._database.writing() as session:
            for video in session.scalars(select(VideoTable).where(VideoTable.camera_id == camera)):
                video.camera_id = None
            session.execute(delete(CameraTable).where(CameraTable.id == camera))

    def grant(self, user: UserId, camera: CameraId) -> None:
        """Grant a viewer a camera with all that it films."""
        with self._database.writing() as session:
            session.merge(CameraGrantTable(user_id=user, camera_id=camera))

    def revoke(self, user: UserId, camera: CameraId) -> None:
        """Revoke the grant of a camera; nothing happens when there is none."""
        with self._database.writing() as session:
            session.execute(
                delete(CameraGrantTable).where(
                    CameraGrantTable.user_id == user, CameraGrantTable.camera_id == camera
                )
            )

    def granted(self, user: UserId) -> frozenset[CameraId]:
        """Return the cameras granted to a viewer; an admin sees all, granted or not."""
        query = select(CameraGrantTable.camera_id).where(CameraGrantTable.user_id == user)
        with self._database.reading() as session:
            return frozenset(map(CameraId, session.scalars(query)))

    def _put(self, row: CameraTable) -> CameraRow:
        name = row.name
        try:
            with self._database.writing() as session:
                session.add(row)
                session.flush()
                return _camera(row)
        except IntegrityError as error:
            raise _taken(name) from error


def _taken(name: str) -> InputRefusedError:
    return InputRefusedError(f"there is a camera {name!r} already", hint="choose another name")


def _locked(session: Session, camera: CameraId) -> CameraTable:
    row = session.get(CameraTable, camera, with_for_update=True)
    if row is None:
        raise NotFoundError(f"no camera {camera!r}", hint="list the cameras to see every name")
    return row


def _camera(row: CameraTable) -> CameraRow:
    return CameraRow(
        id=CameraId(row.id),
        name=row.name,
        address=row.address,
        timezone=row.timezone,
        fps=row.fps,
        watch=tuple(row.watch),
        records=row.records,
        records_sound=row.records_sound,
        transport=cast(CameraTransport, row.transport),
        retention=CameraRetention(
            segment_days=row.segment_days,
            segment_bytes=row.segment_bytes,
            still_days=row.still_days,
            still_bytes=row.still_bytes,
            latent_days=row.latent_days,
            latent_bytes=row.latent_bytes,
        ),
        enabled=row.enabled,
        state=cast(CameraState, row.state),
        state_since=row.state_since,
        state_note=row.state_note,
        last_frame_at=row.last_frame_at,
        n_connects=row.n_connects,
        frames_dropped=row.frames_dropped,
        created_at=row.created_at,
    )
