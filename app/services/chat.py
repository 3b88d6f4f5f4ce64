"""Chat completions as OpenAI's clients send them: what is read, what is refused, where it ends."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import Final
from urllib.parse import unquote

from app.schemas.openai import (
    ChatCompletionRequest,
    ChatMessage,
    ImagePart,
    TextPart,
    VideoPart,
)
from app.services.access import Access, find_named_video
from app.services.ask import check_question, count_tokens
from app.services.context import ServiceContext
from app.services.images import Picture, check_takes_images, read_addresses
from app.services.scope import resolve_scope, resolve_span
from engine.errors import InputRefusedError, NotFoundError
from engine.protocols import Sampling
from engine.records import Scope, TimeSpan, Turn, VideoId

ANY_MODEL: Final = "longwatch"
"""Names whatever model is loaded."""

_ADDRESS: Final = re.compile(r"video://([^#?]{1,400})(?:#t=(\d+(?:\.\d+)?)?(?:,(\d+(?:\.\d+)?))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A request that can be answered."""

    question: str
    history: tuple[Turn, ...]
    instructions: str
    """Of the system; empty where there are none."""
    scope: Scope
    sampling: Sampling
    stop: tuple[str, ...]
    most_tokens: int | None
    """Of the answer, where the client says so."""
    n_prompt_tokens: int
    """Of all messages as text; latents are not counted."""
    pictures: tuple[Picture, ...] = ()
    """Still images of all messages, in their order."""


@dataclass(frozen=True, slots=True)
class VideoAddress:
    """A video, and bounds in it, as `video://ID#t=start,end` names them."""

    video: VideoId
    start_s: float | None
    end_s: float | None


def read_chat(context: ServiceContext, request: ChatCompletionRequest, access: Access) -> Chat:
    """Return a request as a question with what belongs to it.

    Raises:
        InputRefusedError: It asks for what is not done here; the message says what.
        NotFoundError: Another model than the loaded one is named, or a video that is not there.
        LimitExceededError: It is longer than the settings allow.
    """
    check_model(context, request.model)
    if request.n not in {None, 1}:
        raise InputRefusedError(f"n is {request.n}, and a question has one answer here: leave it 1")
    if request.tools:
        raise InputRefusedError("tools are not called here: leave the field out")
    if (request.response_format or {}).get("type", "text") != "text":
        raise InputRefusedError("answers are text: leave response_format out")
    question, history, instructions = _read_messages(request.messages)
    check_question(context, question)
    if instructions:
        check_question(context, f"{instructions}\n{question}")
    most = context.settings.limits.answer_tokens
    limits = [n for n in (request.max_tokens, request.max_completion_tokens) if n is not None]
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    texts = [
        question,
        instructions,
        *(part for turn in history for part in (turn.question, turn.answer)),
    ]
    pictures = _read_pictures(context, request.messages)
    return Chat(
        pictures=pictures,
        question=question,
        history=history,
        instructions=instructions,
        scope=_read_scope(context, access, request.messages, has_images=bool(pictures)),
        sampling=Sampling(
            max_tokens=min([most, *limits]),
            temperature=request.temperature or 0.0,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=request.seed or 0,
        ),
        stop=tuple(text for text in stop if text),
        most_tokens=min(limits, default=None),
        n_prompt_tokens=sum(count_tokens(context, text) for text in texts if text),
    )


def check_model(context: ServiceContext, name: str) -> None:
    """Refuse the name of a model that is not loaded.

    Raises:
        NotFoundError: It names neither the loaded model nor whatever is loaded.
    """
    if name not in {ANY_MODEL, context.settings.model}:
        raise NotFoundError(
            f"the model {name!r} is not loaded here",
            hint=f"name {context.settings.model!r}, or {ANY_MODEL!r} for whatever is loaded",
        )


def parse_address(context: ServiceContext, url: str, access: Access) -> VideoAddress:
    """Return what an address names: a video by its id or its name.

    Nothing is ever fetched.

    Raises:
        InputRefusedError: It is not of the form `video://ID#t=start,end`.
        NotFoundError: No such video, for this user.
    """
    match = _ADDRESS.fullmatch(url)
    if match is None:
        shown = url if len(url) <= 80 else f"{url[:79]}…"
        raise InputRefusedError(
            f"{shown!r} is not of the form video://ID#t=start,end",
            hint="add the video to the library and name its id",
        )
    name = unquote(match[1])
    start_s, end_s = (None if text is None else float(text) for text in match.groups()[1:])
    return VideoAddress(find_named_video(context, name, access).id, start_s, end_s)


class TextCutter:
    """Ends a text before a stop word, or when it has its tokens; holds back what may begin one.

    An answer that observations compose comes as one piece, so tokens are counted here and not by
    pieces.
    """

    def __init__(self, context: ServiceContext, stop: Sequence[str], most: int | None) -> None:
        """Start an empty text.

        Args:
            context: Whose model counts tokens.
            stop: Words to end before.
            most: Most tokens; `None` leaves the length to whoever writes.
        """
        self._context, self._stop, self._most = context, tuple(stop), most
        self._held = ""
        self.text = ""
        """What was passed on."""
        self.finish_reason: str | None = None
        """`stop` or `length` once the text has ended."""

    def feed(self, piece: str) -> str:
        """Return what of the text so far may be shown now."""
        if self.finish_reason is not None:
            return ""
        self._held += piece
        places = [at for at in map(self._held.find, self._stop) if at >= 0]
        if places:
            self.finish_reason = "stop"
            return self._pass_on(min(places))
        return self._pass_on(len(self._held) - self._n_doubtful())

    def close(self, *, is_whole: bool = True) -> str:
        """Return what was held back, at the end of the text.

        Args:
            is_whole: Whether the text ended by itself, not for want of room.
        """
        rest = "" if self.finish_reason is not None else self._pass_on(len(self._held))
        self.finish_reason = self.finish_reason or ("stop" if is_whole else "length")
        return rest

    @property
    def n_tokens(self) -> int:
        """Number of tokens of the loaded model that were passed on."""
        return count_tokens(self._context, self.text) if self.text else 0

    def _pass_on(self, n_chars: int) -> str:
        shown, self._held = self._held[:n_chars], self._held[n_chars:]
        if not self._fits(shown):
            self.finish_reason = "length"
            words = re.findall(r"\s*\S+", shown)
            fitting = takewhile(self._fits, accumulate(words))
            shown = max(fitting, key=len, default="")
        self.text += shown
        return shown

    def _fits(self, more: str) -> bool:
        return self._most is None or count_tokens(self._context, self.text + more) <= self._most

    def _n_doubtful(self) -> int:
        """Return how many of the last characters may be the beginning of a stop word."""
        longest = max((len(word) for word in self._stop), default=1) - 1
        for n_chars in range(min(longest, len(self._held)), 0, -1):
            if any(word.startswith(self._held[-n_chars:]) for word in self._stop):
                return n_chars
        return 0


def _read_messages(messages: Sequence[ChatMessage]) -> tuple[str, tuple[Turn, ...], str]:
    """Return the question, the turns before it, and the system's instructions."""
    instructions = [_text(item) for item in messages if item.role in {"system", "developer"}]
    spoken = [(item.role, _text(item)) for item in messages if item.role in {"user", "assistant"}]
    if not spoken or spoken[-1][0] != "user":
        raise InputRefusedError("the last message must be the user's question")
    return spoken[-1][1], tuple(_pair(spoken[:-1])), "\n".join(filter(None, instructions))


def _pair(spoken: Sequence[tuple[str, str]]) -> Iterator[Turn]:
    pending = ""
    for role, text in spoken:
        if role == "user":
            pending = text
        elif pending:
            yield Turn(question=pending, answer=text)
            pending = ""


def _text(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(part.text for part in message.content if isinstance(part, TextPart))


def _read_pictures(context: ServiceContext, messages: Sequence[ChatMessage]) -> tuple[Picture, ...]:
    urls = [
        part.image_url.url
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, ImagePart)
    ]
    if not urls:
        return ()
    check_takes_images(context)
    return read_addresses(context, urls)


def _read_scope(
    context: ServiceContext, access: Access, messages: Sequence[ChatMessage], *, has_images: bool
) -> Scope:
    """Return the spans that are named; nothing where images are, else all that may be seen."""
    urls = [
        part.video_url.url
        for message in messages
        if isinstance(message.content, list)
        for part in message.content
        if isinstance(part, VideoPart)
    ]
    if not urls:
        return () if has_images else resolve_scope(context, access=access)
    return tuple(_span(context, access, url) for url in urls)


def _span(context: ServiceContext, access: Access, url: str) -> tuple[VideoId, TimeSpan]:
    named = parse_address(context, url, access)
    return resolve_span(
        context, named.video, start_s=named.start_s, end_s=named.end_s, access=access
    )
