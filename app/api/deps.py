"""Dependencies of every route: the context, the signed-in user, the checks of passwords."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from app.api.auth import Principal, SessionService
from app.api.model_queue import ModelQueue
from app.config.settings import Settings
from app.errors import BusyError, NotAllowedError
from app.services.access import find_video, visible_videos
from app.services.capacity import CapacityPlanner
from app.services.context import ServiceContext
from app.services.credentials import MAX_HASHES
from app.services.scope import keep_hours, resolve_scope
from app.services.uploads import PartLocks
from engine.records import Scope
from storage.records import VideoRow

Checked = TypeVar("Checked")

_MAX_WAITING_CHECKS: Final = 20
"""Checks that wait: at two a time and 0.2 s each on a slow machine, the last one waits 2 s."""


class PasswordChecks:
    """A bounded queue in front of the checks of passwords, with threads of its own.

    A check takes 64 MiB and a core for a moment. Strangers ask for as many as they like, so they
    must neither hold the memory nor the threads that every other request needs.
    """

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(MAX_HASHES)
        self.waiting = 0

    async def run(self, check: Callable[[], Checked]) -> Checked:
        """Return the result of a function that checks or hashes a password.

        Raises:
            BusyError: The queue is full.
        """
        if self.waiting >= _MAX_WAITING_CHECKS:
            raise BusyError(
                "too many people are signing in at this moment", hint="try again in a few seconds"
            )
        self.waiting += 1
        try:
            return await anyio.to_thread.run_sync(check, limiter=self._threads)
        finally:
            self.waiting -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The services and the state of this server, as routes use them."""

    services: ServiceContext
    sessions: SessionService
    model_queue: ModelQueue
    password_checks: PasswordChecks = field(default_factory=PasswordChecks)
    with_worker: bool
    """Whether this process runs jobs."""
    parts: PartLocks = field(default_factory=PartLocks)
    frames: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(2))
    """Limits the stills that are decoded at once, each in a process of its own."""

    node_turn: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    """Questions of other servers, one at a time."""

    capacity: CapacityPlanner = field(default_factory=CapacityPlanner)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.services.settings

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.services.settings.home

    def video(self, principal: Principal, video_id: str) -> VideoRow:
        """Return a video by id; to those who may not see it, it does not exist.

        Raises:
            NotFoundError: No such video, or it was not granted.
        """
        return find_video(self.services, video_id, principal)

    def videos(self, principal: Principal) -> tuple[VideoRow, ...]:
        """Return every video that a user may see, oldest first."""
        return visible_videos(self.services, principal)

    def scope(
        self,
        principal: Principal,
        videos: list[str],
        after: float | datetime | None,
        before: float | datetime | None,
        time_of_day: str | None = None,
        cameras: Sequence[str] = (),
    ) -> Scope:
        """Return where to look: videos and cameras named, or all that the user may see.

        Raises:
            NotFoundError: A video that is not there for them, or nothing to look through.
        """
        scope = resolve_scope(
            self.services, videos, cameras=cameras, after=after, before=before, access=principal
        )
        return scope if time_of_day is None else keep_hours(self.services, scope, time_of_day)


def get_context(request: Request) -> AppContext:
    """Return the context of this server."""
    context: AppContext = request.app.state.context
    return context


def require_user(request: Request) -> Principal:
    """Return the signed-in user, whom AuthMiddleware has let in."""
    principal: Principal | None = request.scope.get("state", {}).get("principal")
    if principal is None:
        raise NotAllowedError("sign in first")
    return principal


def require_admin(principal: Annotated[Principal, Depends(require_user)]) -> Principal:
    """Return the signed-in user, who must be an admin."""
    if not principal.is_admin:
        raise NotAllowedError("only an admin may do this")
    return principal


Ctx = Annotated[AppContext, Depends(get_context)]
CurrentUser = Annotated[Principal, Depends(require_user)]
CurrentAdmin = Annotated[Principal, Depends(require_admin)]
