"""The servers and workers that share a library: work that one of them does, settings of them all.

On one machine, where the database is a file, nothing of this runs.

Decision: what is to be done once is done by whoever takes a lease first, because no process is
special: any may be killed, and the next look of another goes on.
Decision: a change of settings on a page is a row that every server writes into its own file,
because the file stays what an administrator reads; at a start the file goes before the rows.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from app.config.settings import source_of
from app.config.settings_file import EDITABLE, Value, saved
from app.services.background import repeating
from app.services.context import ServiceContext
from app.services.nodes import NodeBeat
from engine.errors import LongwatchError

BEAT_S: Final = 2.0
"""Pause between two looks at what other servers have changed."""
_SETTING: Final = "setting:"

_log = logging.getLogger(__name__)


def takes_turn(context: ServiceContext, work: str, *, lease_s: float) -> bool:
    """Tell whether this process does a piece of work that one of all does; alone it always does.

    Args:
        context: Of the library.
        work: Names the work.
        lease_s: Nobody else takes it for so long; whoever has it may take it again.
    """
    catalog = context.catalog
    return not catalog.is_shared or catalog.leases.take(work, context.process, lease_s=lease_s)


def publish_settings(context: ServiceContext, changes: dict[str, Value]) -> None:
    """Tell the other servers of changed settings."""
    if context.catalog.is_shared:
        context.catalog.values.put({_SETTING + name: value for name, value in changes.items()})


class SettingsFollower:
    """Takes over what was changed on the pages of other servers."""

    def __init__(self, context: ServiceContext) -> None:
        """Begin with every change there ever was, unless the file of this server says otherwise."""
        self._context = context
        self._revision = 0
        self._is_first = True

    def look(self) -> None:
        """Take over what has changed since the last look."""
        is_first, self._is_first = self._is_first, False
        self._revision, values = self._context.catalog.values.since(self._revision)
        for name, value in values.items():
            setting = name.removeprefix(_SETTING)
            if setting not in _EDITABLE or not name.startswith(_SETTING):
                continue
            if is_first and source_of(saved(self._context.settings), setting) is not None:
                continue
            try:
                for line in self._context.change_settings({setting: value}):
                    _log.info("setting changed on another server: %s", line)
            except LongwatchError as error:
                # Held by the environment here, or a model that this machine has not.
                _log.warning("setting %s of another server: %s", setting, error)


@contextmanager
def beside_others(context: ServiceContext) -> Iterator[None]:
    """Follow the other servers of a library while the body runs; alone there is nothing to do."""
    if not context.catalog.is_shared:
        yield
        return
    follower, beat = SettingsFollower(context), NodeBeat(context)

    def look() -> None:
        follower.look()
        beat.look()

    trouble = "no look at the other servers"
    try:
        with repeating(look, name="servers", every_s=BEAT_S, trouble=trouble):
            yield
    finally:
        with suppress(LongwatchError):
            beat.stop()


_EDITABLE: Final = frozenset(editable.setting for editable in EDITABLE)
