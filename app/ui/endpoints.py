"""Named endpoints for `gradio_client` and MCP: what the pages do, as functions with documents.

Each takes the user from the request, as a page does: a session, or a bearer token of the settings
page. `view_api` lists these; handlers of pages are private.

Decision: they answer at once and stand in no queue of Gradio's, because the model has one of its
own, and because a tool of MCP then runs in the request that asked for it.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import gradio as gr
from gradio.events import api
from starlette.concurrency import run_in_threadpool

from app.api.auth import Principal
from app.api.deps import AppContext
from app.api.probes import start_probe_run
from app.api.questions import answer_steps, prepare_question, search_moments
from app.api.videos import add_video
from app.schemas.ask import AskRequest, AskResponse
from app.schemas.probes import ProbeRequest
from app.schemas.search import SearchRequest
from app.schemas.videos import AddVideoRequest
from app.services.access import find_named_video
from app.services.days import day_view
from app.services.moments import list_moments
from app.ui.caller import as_sentences, checked, require_reader, require_writer
from engine.errors import InputRefusedError

NAMES: Final = ("ask", "search", "moments", "probe", "ingest")
"""Endpoints that are tools of MCP too."""
STREAM: Final = "ask_stream"
"""The endpoint that writes its answer word by word, for `Client.submit`."""


def add_endpoints(context: AppContext) -> None:
    """Add the endpoints to the Blocks of the present `with`."""
    endpoints = Endpoints(context)
    for name in NAMES:
        api(getattr(endpoints, name), api_name=name, queue=False)
    api(endpoints.ask_stream, api_name=STREAM)


class Endpoints:
    """The functions, for one server."""

    def __init__(self, context: AppContext) -> None:
        """Do nothing yet."""
        self._context = context

    async def ask(
        self,
        question: str,
        request: gr.Request,
        videos: list[str] | None = None,
        after: str = "",
        before: str = "",
        hours: str = "",
        images: list[str] | None = None,
    ) -> dict[str, Any]:
        """Answer a question about the videos of this library, with the moments that prove it.

        Args:
            question: In words.
            videos: Names or ids; every video that the user may see when empty.
            after: The earliest moment, as 1:30, 90m or 2026-03-01T22:00.
            before: The end, not included.
            hours: Hours of the day, as 22:00-06:00.
            images: Pictures beside the question, as data:image/jpeg;base64 addresses, for models
                that read them; where nothing else says where to look, it is about these alone.
        Returns:
            `answer`; `answered_by`, one of observations, model and nothing; `evidence`, spans of
            video with their times; `nearest`, moments that do not confirm anything.
        """
        with as_sentences(request):
            answer: dict[str, Any] = {}
            bounds = (videos, after, before, hours)
            async for step in self._answers(question, request, bounds, images):
                answer = step
            return answer

    async def ask_stream(
        self,
        question: str,
        request: gr.Request,
        videos: list[str] | None = None,
        after: str = "",
        before: str = "",
        hours: str = "",
        images: list[str] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Answer as `ask`, while it is being written: `answer` so far, and last the whole of it."""
        with as_sentences(request):
            bounds = (videos, after, before, hours)
            async for step in self._answers(question, request, bounds, images):
                yield step

    async def _answers(
        self,
        question: str,
        request: gr.Request,
        bounds: tuple[Sequence[str] | None, str, str, str],
        images: Sequence[str] | None,
    ) -> AsyncIterator[dict[str, Any]]:
        principal = require_reader(request)
        body = checked(
            AskRequest,
            question=question,
            **_bounds(self._context, principal, *bounds),
            images=[*(images or ())],
        )
        prepared = await run_in_threadpool(prepare_question, self._context, principal, body)
        words = ""
        async for step in answer_steps(self._context, principal, body, prepared):
            if isinstance(step, AskResponse):
                yield step.model_dump()
                continue
            words += step
            yield {"answer": words}

    async def search(
        self,
        query: str,
        request: gr.Request,
        videos: list[str] | None = None,
        after: str = "",
        before: str = "",
        hours: str = "",
        top: int = 10,
    ) -> dict[str, Any]:
        """Find the moments of this library that match a description, best first.

        Args:
            query: What a moment looks like, or words that were said or can be read in it.
            videos: Names or ids; every video that the user may see when empty.
            after: The earliest moment, as 1:30, 90m or 2026-03-01T22:00.
            before: The end, not included.
            hours: Hours of the day, as 22:00-06:00.
            top: Most moments.
        Returns:
            `hits`, spans of video with their times; `confirmed` tells those that are found from
            those that are merely nearest.
        """
        with as_sentences(request):
            principal = require_reader(request)
            body = checked(
                SearchRequest,
                query=query,
                **_bounds(self._context, principal, videos, after, before, hours),
                top=top,
            )
            return (await search_moments(self._context, principal, body)).model_dump()

    def moments(
        self, request: gr.Request, video: str = "", hours: str = "", day: str = ""
    ) -> dict[str, Any]:
        """Return the chapters of a video in time order with a summary, or what happened on a day.

        Args:
            video: A name or an id; of a day every video when empty.
            hours: Hours of the day, as 22:00-06:00.
            day: A day on the wall clock, as 2026-03-01: its footage and events, lane by lane.
        """
        with as_sentences(request):
            principal = require_reader(request)
            _check_texts(video=video, hours=hours, day=day)
            ids = _ids(self._context, principal, [video] if video else [])
            if day:
                document = day_view(self._context.services, day, videos=ids, access=principal)
                return document.model_dump()
            if not ids:
                raise InputRefusedError("name a video, or a day")
            chapters = list_moments(
                self._context.services, ids[0], hours=hours or None, access=principal
            )
            return chapters.model_dump()

    def probe(
        self,
        request: gr.Request,
        haystack: str = "",
        lengths: list[int] | None = None,
        depths: list[float] | None = None,
        seeds: int = 2,
    ) -> dict[str, Any]:
        """Plant needles in a video as a job, to measure where the model still finds them.

        Args:
            haystack: A name or an id of a video; a drawn video when empty.
            lengths: Sampled frames of each haystack; 64 and 256 when empty.
            depths: Places of the needle from 0 (start) to 1 (end); 0, 0.5 and 1 when empty.
            seeds: Needles in each cell.
        Returns:
            The job, which the page of jobs and `/api/v1/jobs` follow.
        """
        with as_sentences(request):
            principal = require_writer(request)
            _check_texts(haystack=haystack)
            named = _ids(self._context, principal, [haystack] if haystack else [])
            grid = {"lengths": lengths, "depths": depths}
            body = checked(
                ProbeRequest,
                haystack=named[0] if named else None,
                seeds=seeds,
                **{name: values for name, values in grid.items() if values},
            )
            return start_probe_run(self._context, principal, body).model_dump()

    def ingest(self, source: str, request: gr.Request, name: str = "") -> dict[str, Any]:
        """Add a file below a folder of `paths.media_roots`, or a camera, and start to read it.

        Args:
            source: A path on the server, or the address of a camera.
            name: What to call the video; the name of the file when empty.
        Returns:
            The video, whose `status` becomes `ready`.
        """
        with as_sentences(request):
            principal = require_writer(request)
            body = checked(AddVideoRequest, source=source, name=name or None)
            return add_video(self._context, principal, body).model_dump()


# A stream needs Gradio's queue, to which a tool of MCP would have to sign in anew: it is none.
Endpoints.ask_stream._mcp_type = "stream"  # type: ignore[attr-defined]


def _bounds(
    context: AppContext,
    principal: Principal,
    videos: Sequence[str] | None,
    after: str,
    before: str,
    hours: str,
) -> dict[str, Any]:
    """Return where a question or a search looks, as the fields of its request."""
    return {
        "videos": _ids(context, principal, videos),
        "after": after or None,
        "before": before or None,
        "time_of_day": hours or None,
    }


def _ids(context: AppContext, principal: Principal, names: Sequence[str] | None) -> list[str]:
    """Return the ids of videos that the user may see.

    Raises:
        NotFoundError: One of them is none of theirs.
        InputRefusedError: These are no names.
    """
    # Clients check no types: to most people one name is a list of one.
    names = [names] if isinstance(names, str) else names or ()
    if not isinstance(names, Sequence):
        raise InputRefusedError("videos: Input should be a valid list")
    _check_texts(**{f"videos.{idx}": name for idx, name in enumerate(names)})
    return [find_named_video(context.services, name, principal).id for name in names]


def _check_texts(**values: object) -> None:
    """Refuse what a client sends in place of a text.

    Raises:
        InputRefusedError: One of them is none.
    """
    for name, value in values.items():
        if not isinstance(value, str):
            raise InputRefusedError(f"{name}: Input should be a valid string")
