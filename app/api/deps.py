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
from app.services.access import find_video, visible_videos
from app.services.context import ServiceContext
from app.services.scope import resolve_scope
from app.services.uploads import PartLocks
from engine.records import Scope
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

    services: ServiceContext
    doorman: SessionService
    lane: ModelQueue
    with_worker: bool
    """Whether jobs are worked off in this process."""
    parts: PartLocks = field(default_factory=PartLocks)
    frames: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))
    """Stills that may be decoded at once, each in a process of its own."""

    @property
    def settings(self) -> Settings:
        """What was configured."""
        return self.services.settings

    @property
    def home(self) -> Path:
        """Where everything lies."""
        return self.services.settings.home

    def video(self, who: Principal, video_id: str) -> VideoRow:
        """Return a video by id; to those who may not see it, it does not exist.

        Raises:
            NotFoundError: No such video, or it was not granted.
        """
        return find_video(self.services, video_id, who)

    def videos(self, who: Principal) -> tuple[VideoRow, ...]:
        """Return every video that someone may see, oldest first."""
        return visible_videos(self.services, who)

    def scope(
        self,
        who: Principal,
        videos: list[str],
        after: float | datetime | None,
        before: float | datetime | None,
    ) -> Scope:
        """Return where to look: the videos named, or all that someone may see.

        Raises:
            NotFoundError: A video that is not there for them, or nothing to look through.
        """
        return resolve_scope(self.services, videos, after=after, before=before, access=who)


def get_context(request: Request) -> AppContext:
    """Return the parts of this server."""
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
