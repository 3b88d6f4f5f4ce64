"""What every route is given: the service, who asks, and the lane of the model."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import Depends, Request

from app.api.auth import Principal, SessionService
from app.config.settings import Settings
from app.errors import BusyError, NotAllowedError
from app.services.context import Scope, Service
from engine.errors import NotFoundError
from engine.records import VideoId
from storage.catalog import Catalog
from storage.records import VideoRow


class ModelQueue:
    """One question at a time goes to the model; the others wait, and not without end."""

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._turn = anyio.Semaphore(1)
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the model, or be told at once that the queue is full."""
        if self.waiting >= self._most_waiting:
            raise BusyError(f"{self.waiting} questions wait already", hint="ask again in a while")
        self.waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self.waiting -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The parts that routes work with."""

    service: Service
    doorman: SessionService
    lane: ModelQueue
    with_worker: bool
    """Whether jobs are worked off in this process."""
    frames: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))
    """Stills that may be decoded at once, each in a process of its own."""

    @property
    def settings(self) -> Settings:
        """What was configured."""
        return self.service.settings

    @property
    def catalog(self) -> Catalog:
        """What is written down."""
        return self.service.catalog

    @property
    def home(self) -> Path:
        """Where everything lies."""
        return self.service.settings.home

    def video(self, who: Principal, video_id: str) -> VideoRow:
        """A video by id; to those who may not see it, it does not exist.

        Raises:
            NotFoundError: No such video, or it was not granted.
        """
        if not who.may_see(VideoId(video_id)):
            raise NotFoundError(f"no video {video_id!r}")
        return self.catalog.videos.get(VideoId(video_id))

    def videos(self, who: Principal) -> tuple[VideoRow, ...]:
        """Every video that someone may see, oldest first."""
        return tuple(row for row in self.catalog.videos.listed() if who.may_see(row.id))

    def scope(
        self,
        who: Principal,
        videos: list[str],
        after: float | datetime | None,
        before: float | datetime | None,
    ) -> Scope:
        """Where to look: the videos named, or all that someone may see.

        Raises:
            NotFoundError: A video that is not there for them, or nothing to look through.
        """
        wanted = [self.video(who, video).id for video in videos]
        if not wanted:
            wanted = [row.id for row in self.videos(who) if row.n_chunks]
        if not wanted:
            raise NotFoundError(
                "nothing is indexed yet", hint="add a video; its first chunks can be asked at once"
            )
        return self.service.scope(wanted, after=after, before=before)


def get_context(request: Request) -> AppContext:
    """The desk of this server."""
    desk: AppContext = request.app.state.desk
    return desk


def require_user(request: Request) -> Principal:
    """Whoever asks; the gate has let them in."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is None:
        raise NotAllowedError("sign in first")
    return principal


def admin(who: Annotated[Principal, Depends(require_user)]) -> Principal:
    """Whoever asks, if they may change things."""
    if not who.is_admin:
        raise NotAllowedError("only an admin may do this")
    return who


Ctx = Annotated[AppContext, Depends(get_context)]
CurrentUser = Annotated[Principal, Depends(require_user)]
CurrentAdmin = Annotated[Principal, Depends(admin)]
