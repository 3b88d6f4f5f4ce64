"""An answerer of the administrator's own: moments found here go to a server, its answer streams.

The server speaks OpenAI's chat completions (Ollama, vLLM, llama.cpp, LM Studio). It gets the
question with the images beside it, the last turns, and for each moment its time, what observers
state of it and a still, and is told to cite moments as [1], [2]. A citation of a moment that was
not sent is no evidence. What fails is a sentence with the nearest moments, never a lost question.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import httpx

from app.config.answer_settings import AnswerSettings
from app.services.context import ServiceContext
from app.services.images import Picture, as_address, draw_jpeg
from engine.errors import LongwatchError, UnreachableError
from engine.pipeline.compose.footage import Composed, WatchedFootage
from engine.pipeline.compose.sentences import clock, evidence_of, note_of
from engine.protocols import Sampling
from engine.records import Answer, AnswerTiming, Evidence, Turn
from engine.tensors import Token

INSTRUCTION: Final = (
    "You answer questions about video footage. You are given moments of it, each with a number, "
    "its "
    "time, notes of detectors (which may be wrong) and mostly a picture. Answer in one to three "
    "plain sentences from these moments alone, and cite the moments that show it by their numbers, "
    "like [1]. If they do not show the answer, say so."
)
ABOUT_IMAGES: Final = (
    "You answer questions about the images that are given. Answer in one to three plain sentences "
    "from them alone. If they do not show the answer, say so."
)
BESIDE: Final = "Images of whoever asks, which are no moments of the footage:"
MAX_NOTES: Final = 6
"""Observations told of one moment: a busy street has dozens."""
NOTES_CHARS: Final = 500
MAX_STILL_BYTES: Final = 400_000
"""Larger pictures stay here: a still of 640 pixels has a tenth of it."""
MOMENT_GAP_S: Final = 2.0
"""Two moments that are nearer to each other show the same."""
MAX_TURNS: Final = 4
_CITATION: Final = re.compile(r"\[(\d{1,2})\]")


def answer_elsewhere(
    context: ServiceContext,
    question: str,
    footage: WatchedFootage | None,
    composed: Composed | None,
    *,
    history: Sequence[Turn] = (),
    sampling: Sampling | None = None,
    instructions: str = "",
    pictures: Sequence[Picture] = (),
) -> Iterator[Token | Answer]:
    """Yield the words of the configured server as they come, then the Answer.

    Args:
        context: Whose settings name the server; one has to be configured.
        question: As it was asked.
        footage: With the moments nearest to the question; `None` where images alone are asked
            about.
        composed: What observations hint at, whose moments are sent first.
        history: Earlier turns, oldest first.
        sampling: Its length and temperature are passed on; those of the settings when `None`.
        instructions: How to answer; they follow our own.
        pictures: Images beside the question, all of which are sent.
    """
    started = time.perf_counter()
    settings = context.settings.answer
    moments = () if footage is None else choose_moments(footage, composed, settings.stills)
    retrieve_ms = _since_ms(started)
    words: list[str] = []
    first_ms: float | None = None
    failure = ""
    try:
        request = build_request(
            context, question, footage, moments, history, sampling, instructions, pictures
        )
        for text in stream_words(settings, request):
            first_ms = first_ms or _since_ms(started)
            words.append(text)
            yield Token(text=text, chunk_mass=None)
    except UnreachableError as error:
        failure = f" ({error.message}.)" if words else f"No answer: {error.message}."
    if not words and not failure:
        failure = f"No answer: {settings.host} sent no words."
    if failure:
        yield Token(text=failure, chunk_mass=None)
    text = ("".join(words) + failure).strip()
    cited = () if failure else cited_moments(text, moments)
    yield Answer(
        text=text,
        evidence=cited,
        card=context.engine.model.card,
        timing=AnswerTiming(
            retrieve_ms=retrieve_ms,
            first_token_ms=first_ms or _since_ms(started),
            total_ms=_since_ms(started),
        ),
        searched_s=0.0 if footage is None else footage.duration_s,
        recalled_chunks=0,
        recall="top",
        answered_by="nothing" if failure else "model",
        nearest=() if cited else moments,
        model=f"{settings.model} at {settings.host}",
        images=len(pictures),
    )


def choose_moments(
    footage: WatchedFootage, composed: Composed | None, most: int
) -> tuple[Evidence, ...]:
    """Return the moments to send, in time order: hinted at, near in meaning, then surest rows."""
    hinted = () if composed is None else composed.evidence
    rows = sorted(footage.rows, key=lambda row: -row.confidence)
    chosen: list[Evidence] = []
    for moment in (*hinted, *footage.nearest, *(evidence_of([row]) for row in rows)):
        is_new = all(
            moment.video != other.video or abs(moment.keyframe_s - other.keyframe_s) >= MOMENT_GAP_S
            for other in chosen
        )
        if is_new:
            chosen.append(moment)
        if len(chosen) == most:
            break
    return tuple(sorted(chosen, key=lambda moment: (moment.video, moment.keyframe_s)))


def cited_moments(text: str, moments: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return the moments that a text cites, in its order; numbers that were not sent are none."""
    numbers = dict.fromkeys(int(number) for number in _CITATION.findall(text))
    return tuple(moments[number - 1] for number in numbers if 1 <= number <= len(moments))


def build_request(
    context: ServiceContext,
    question: str,
    footage: WatchedFootage | None,
    moments: Sequence[Evidence],
    history: Sequence[Turn],
    sampling: Sampling | None = None,
    instructions: str = "",
    pictures: Sequence[Picture] = (),
) -> dict[str, Any]:
    """Return the request of chat completions: everything that leaves this machine."""
    content: list[dict[str, Any]] = []
    for number, moment in enumerate(moments, start=1):
        assert footage is not None, "moments are of footage"
        content.append({"type": "text", "text": f"[{number}] {_describe(footage, moment)}"})
        still = _still(context, moment)
        if still is not None:
            content.append(_image_part(still))
    if pictures and footage is not None:
        content.append({"type": "text", "text": BESIDE})
    content += [_image_part(draw_jpeg(picture)) for picture in pictures]
    content.append({"type": "text", "text": question})
    ours = ABOUT_IMAGES if footage is None else INSTRUCTION
    system = "\n".join(filter(None, (ours, instructions)))
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    for turn in history[-MAX_TURNS:]:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.append({"role": "user", "content": content})
    settings = context.settings
    sampling = sampling or Sampling(max_tokens=settings.limits.answer_tokens)
    return {
        "model": settings.answer.model,
        "messages": messages,
        "stream": True,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
    }


def stream_words(settings: AnswerSettings, request: dict[str, Any]) -> Iterator[str]:
    """Post a request and yield the words of its answer.

    Raises:
        UnreachableError: The server refuses, is silent for too long, or stops in mid-answer; the
            message is a clause without a full stop and holds no key.
    """
    assert settings.base_url is not None, "only a configured server is asked"
    url = f"{settings.base_url.rstrip('/')}/chat/completions"
    headers = _headers(settings)
    # No proxy of the environment and no redirect: stills go where the settings say.
    client = httpx.Client(timeout=settings.timeout_s, trust_env=False, follow_redirects=False)
    is_finished = False
    try:
        with client, client.stream("POST", url, json=request, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise UnreachableError(_refusal(settings, response))
            for line in response.iter_lines():
                if not line.startswith("data:"):
                    continue
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    is_finished = True
                    break
                text, is_last = _read_event(settings, data)
                is_finished = is_finished or is_last
                if text:
                    yield text
    except httpx.TimeoutException as error:
        message = f"{settings.host} was silent for {settings.timeout_s:g} s"
        raise UnreachableError(message) from error
    except httpx.ConnectError as error:
        raise UnreachableError(f"{settings.host} cannot be reached") from error
    except httpx.HTTPError as error:
        raise UnreachableError(f"{settings.host} stopped in mid-answer") from error
    if not is_finished:
        raise UnreachableError(f"{settings.host} stopped in mid-answer")


def _read_event(settings: AnswerSettings, data: str) -> tuple[str, bool]:
    """Return the words of one event, and whether it is the last."""
    try:
        event = json.loads(data)
        if event.get("error"):
            raise UnreachableError(f"{settings.host} stopped: {_short(str(event['error']))}")
        choices = event.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        return str(delta.get("content") or ""), bool(choices[0].get("finish_reason"))
    except (ValueError, AttributeError, IndexError, TypeError) as error:
        raise UnreachableError(f"{settings.host} sent what is no chat completion") from error


def _refusal(settings: AnswerSettings, response: httpx.Response) -> str:
    try:
        stated = response.json()["error"]
        detail = stated["message"] if isinstance(stated, dict) else str(stated)
    except (ValueError, KeyError, TypeError):
        detail = response.reason_phrase
    return f"{settings.host} refused with status {response.status_code}: {_short(detail)}"


def _short(text: str) -> str:
    return " ".join(text.split())[:200].rstrip(".")


def _headers(settings: AnswerSettings) -> dict[str, str]:
    if settings.api_key_file is None:
        return {}
    try:
        key = settings.api_key_file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreachableError(f"the key file {settings.api_key_file} cannot be read") from error
    return {"Authorization": f"Bearer {key}"}


def _image_part(jpeg: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": as_address(jpeg)}}


def _describe(footage: WatchedFootage, moment: Evidence) -> str:
    """Return a moment in words: video, time, and what observers state of it."""
    rows = [
        row
        for row in footage.rows
        if row.video == moment.video and row.span.contains(moment.keyframe_s)
    ]
    rows.sort(key=lambda row: -row.confidence)
    notes = "; ".join(note_of(row) for row in rows[:MAX_NOTES])[:NOTES_CHARS]
    where = f"{footage.name(moment.video)} at {clock(moment.keyframe_s)}"
    return f"{where}: {notes}" if notes else where


def _still(context: ServiceContext, moment: Evidence) -> bytes | None:
    try:
        jpeg = context.stills.at(moment.video, moment.keyframe_s).jpeg
    except LongwatchError:
        # None is kept of it: its time and notes go alone.
        return None
    return jpeg if len(jpeg) <= MAX_STILL_BYTES else None


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
