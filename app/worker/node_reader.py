"""The reader of one node of a cluster: a library opened there, and the jobs it is handed.

Knows nothing of Ray, which makes one of it for each GPU, or for some CPU cores. What it answers is
plain data: an exception of ours may not be known where it arrives.
"""

import platform
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config.settings import Settings, load_settings
from app.errors import hint_for
from app.logging import configure_logging
from app.services.context import ServiceContext
from app.services.objects import objects_loop
from app.version import product_version
from app.worker.handlers import open_reader
from app.worker.processes import this_machine, this_process
from engine.errors import (
    InputRefusedError,
    LongwatchError,
    MissingCapabilityError,
    NotFoundError,
    UnreachableError,
)
from storage.files import HomeFolder
from storage.records import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOrder:
    """The library that a reader is to open; without secrets."""

    home: str
    """The home folder where the work was ordered; a node that sees the same disk uses it too."""
    mark: str
    """A name that was written into that folder for this run."""
    machine: str
    """The machine where the work was ordered."""
    version: str
    store: str | None
    """The object store of the library; nodes need no common disk where there is one."""
    settings: dict[str, Any]
    """Settings by dotted name that decide what is read of a video."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """A reader that is ready; only `failure` where it cannot be."""

    node: str
    worker: str = ""
    """Its name in the leases of jobs."""
    fingerprint: str = ""
    failure: dict[str, str | None] | None = None
    """Code, message and hint."""


class NodeReader:
    """A reader: opens the library once, and does one job at a time as a worker does."""

    def __init__(self, order: NodeOrder) -> None:
        self._order = order
        self._stopping = threading.Event()
        self._context: ServiceContext | None = None
        self._node = platform.node()
        self._beside = ExitStack()

    def open(self) -> NodeReport:
        """Open the library and load the model; a second call costs nothing."""
        try:
            if self._context is None:
                self._context = self._opened()
            return NodeReport(
                node=self._node,
                worker=this_process(),
                fingerprint=self._context.engine.fingerprint,
            )
        except LongwatchError as error:
            return NodeReport(node=self._node, failure=described(error, self._node))

    def run(self, job: int, created_at: str) -> dict[str, str | None] | None:
        """Do a job, if nobody has it and it may run now; its row says how it ended.

        Args:
            created_at: By which the job is known in the library that was meant.
        Returns:
            Why this reader can do none of the jobs; `None` usually.
        """
        assert self._context is not None, "it is opened first"
        try:
            row = self._context.catalog.jobs.get(JobId(job))
            if row.created_at.isoformat() != created_at:
                raise NotFoundError(f"no job {job} of {created_at}")
        except NotFoundError:
            error = InputRefusedError(
                f"its database, {self._context.catalog.where}, is not that of this library",
                hint="set database_url there to the same database (LONGWATCH_DATABASE_URL)",
            )
            return described(error, self._node)
        except LongwatchError as error:
            return described(error, self._node)
        open_reader(self._context, stopping=self._stopping).run_assigned(row.id)
        return None

    def stop(self) -> None:
        """Have the job that runs hand itself back soon."""
        self._stopping.set()

    def _opened(self) -> ServiceContext:
        order = self._order
        if product_version() != order.version:
            raise MissingCapabilityError(
                f"Longwatch is {product_version()} there and {order.version} here",
                hint="install the same version on every node",
            )
        sees_home = HomeFolder(Path(order.home)).has_mark(order.mark)
        home = Path(order.home) if sees_home else None
        settings = load_settings(order.settings, home=home)
        configure_logging(settings.log.level, settings.log.format)
        _check_shared(settings, order, sees_home=sees_home)
        context = ServiceContext(settings)
        context.catalog.check_writable()
        self._beside.enter_context(objects_loop(context))
        return context


def described(error: LongwatchError, node: str) -> dict[str, str | None]:
    """Return an error of a node as plain data: code, message and hint."""
    return {
        "code": error.code,
        "message": f"node {node}: {error.message}",
        "hint": hint_for(error),
    }


def _check_shared(settings: Settings, order: NodeOrder, *, sees_home: bool) -> None:
    """Refuse a node that would read into a library of its own."""
    is_elsewhere = this_machine() != order.machine
    if settings.database_is_file and is_elsewhere:
        raise InputRefusedError(
            "the database of the library is a file, which processes of one machine alone can share",
            hint="set database_url to a PostgreSQL that every node reaches, here and there",
        )
    if settings.objects.url != order.store:
        raise InputRefusedError(
            "its object store is not that of this library",
            hint="set objects.url there as it is here (LONGWATCH_OBJECTS__URL)",
        )
    if order.store is not None or sees_home:
        return
    if not HomeFolder(settings.home).has_mark(order.mark):
        raise UnreachableError(
            f"the files of the library are not there: {settings.home} is another folder",
            hint=f"mount the disk of {order.home} there, and name it in LONGWATCH_HOME; or set "
            "objects.url to an object store that all nodes reach",
        )
