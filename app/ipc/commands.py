"""Each command that a server may run for a terminal: what it is given, and its use case."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import BaseModel

from app.progress import ProgressUpdate
from app.schemas.ask import AnswerResponse
from app.schemas.captions import CaptionRunResponse
from app.schemas.commands import (
    AskArguments,
    IngestArguments,
    ListArguments,
    NoArguments,
    SearchArguments,
    VideoArguments,
)
from app.schemas.common import MessageResponse
from app.schemas.search import SearchResponse
from app.schemas.videos import IngestResponse, LibraryResponse

if TYPE_CHECKING:
    from app.services.context import ServiceContext
    from engine.records import Scope


class Listener(Protocol):
    """The terminal that waits for a command."""

    def progress(self, update: ProgressUpdate) -> None:
        """Hear how far the work is."""

    def token(self, text: str) -> None:
        """Hear the next words of an answer."""

    def say(self, text: str) -> None:
        """Hear a line for people."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command, wherever it runs."""

    arguments: type[BaseModel]
    response: type[BaseModel]
    run: "Callable[[ServiceContext, Any, Listener, threading.Event | None], BaseModel]"
    """Called with an event that tells it to stop; none where Ctrl-C does."""
    asks: bool = False
    """Whether it waits for its turn at the model."""
    is_job: bool = False
    """Whether the worker of the server goes on with it when the terminal leaves."""


def _ask(
    context: "ServiceContext",
    arguments: AskArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> AnswerResponse:
    # Late, as below: torch and the database, which a terminal with a server does without.
    from app.services.ask import ask
    from app.services.images import read_files

    scope = () if arguments.is_about_images_alone else _scope(context, arguments)
    pictures = read_files(context, arguments.images) if arguments.images else ()
    return ask(context, arguments.question, scope, on_token=listener.token, pictures=pictures)


def _search(
    context: "ServiceContext",
    arguments: SearchArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> SearchResponse:
    # Late: torch.
    from app.services.search import check_kinds, search

    scope = _scope(context, arguments)
    return search(
        context,
        arguments.query,
        scope,
        top=arguments.top,
        kinds=check_kinds(arguments.kinds),
        labels=arguments.labels,
    )


def _scope(context: "ServiceContext", arguments: AskArguments | SearchArguments) -> "Scope":
    # Late: the database.
    from app.services.scope import keep_hours, resolve_scope

    scope = resolve_scope(
        context,
        arguments.videos,
        cameras=arguments.cameras,
        after=arguments.after,
        before=arguments.before,
    )
    hours = arguments.time_of_day
    return scope if hours is None else keep_hours(context, scope, hours)


def _ingest(
    context: "ServiceContext",
    arguments: IngestArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> IngestResponse:
    # Late: torch.
    from app.services.ingest import describe_interruption
    from app.worker.alerts import alerts_beside
    from app.worker.foreground import ingest_now

    try:
        with alerts_beside(context):
            return ingest_now(
                context,
                arguments.sources,
                name=arguments.name,
                start_at=arguments.start_at,
                timezone=arguments.timezone,
                video_track=arguments.video_track,
                observes=arguments.observes,
                report=listener.progress,
                stopping=stopping,
            )
    except KeyboardInterrupt:
        listener.say(describe_interruption(context))
        raise


def _caption(
    context: "ServiceContext",
    arguments: VideoArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> CaptionRunResponse:
    # Late: torch.
    from app.services.captions import describe_interruption
    from app.worker.foreground import caption_now

    try:
        return caption_now(context, arguments.video, listener.progress, stopping=stopping)
    except KeyboardInterrupt:
        listener.say(describe_interruption(context, arguments.video))
        raise


def _list(
    context: "ServiceContext",
    arguments: ListArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> LibraryResponse:
    # Late: the database.
    from app.services.library import list_videos
    from app.services.library_query import check_query

    return list_videos(context, check_query(tags=arguments.tags))


def _remove(
    context: "ServiceContext",
    arguments: VideoArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> MessageResponse:
    # Late: the database.
    from app.services.access import find_video
    from app.services.library import remove_video

    return remove_video(context, find_video(context, arguments.video))


def _reindex(
    context: "ServiceContext",
    arguments: NoArguments,
    listener: Listener,
    stopping: threading.Event | None,
) -> MessageResponse:
    # Late: torch.
    from app.services.repair import reindex

    return reindex(context)


COMMANDS: Final[Mapping[str, Command]] = {
    "ask": Command(AskArguments, AnswerResponse, _ask, asks=True),
    "search": Command(SearchArguments, SearchResponse, _search, asks=True),
    "ingest": Command(IngestArguments, IngestResponse, _ingest, is_job=True),
    "caption": Command(VideoArguments, CaptionRunResponse, _caption, is_job=True),
    "videos list": Command(ListArguments, LibraryResponse, _list),
    "videos rm": Command(VideoArguments, MessageResponse, _remove),
    "videos reindex": Command(NoArguments, MessageResponse, _reindex),
}
