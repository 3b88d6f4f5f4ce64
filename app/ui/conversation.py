"""Questions and answers as messages of a `gr.Chatbot`.

A message of an answer is its words, with a link to each moment that proves them, and below them
what they rest on, as pictures. The words are data: nothing in them is read as Markdown.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from app.schemas.ask import AnswerResponse, EvidenceItem, EvidenceObservation
from app.schemas.conversations import ConversationItem, TurnItem
from app.timefmt import format_clock, format_duration
from app.ui.components.moments import MomentCard, draw_shot
from app.ui.components.player import PlayerSpan
from app.ui.components.table import RowAction, TableData, TableRow
from app.ui.markup import NOTHING, left_out, local_time, part, span_text
from app.ui.question_box import draw_pictures
from app.ui.verdicts import Verdicts, evidence_moment

Message = dict[str, Any]

SOURCES: Final = {"object": "objects", "motion": "motion", "text": "print", "speech": "speech"}
MOST_SHOWN: Final = 4
# All that Markdown, or Gradio's additions to it, could take for a sign.
_SIGNS: Final = re.compile(
    r"([\\`*_{}\[\]<>()#+|~$&@:=!]|(?<=www)\.|^[-+]|(?:(?<=^\d)|(?<=^\d\d))[.)])", re.M | re.I
)


def as_text(words: str) -> str:
    """Return words as Markdown that shows exactly them."""
    return _SIGNS.sub(r"\\\1", words)


def question_message(question: str, pictures: Sequence[str] = ()) -> Message:
    """Return what was asked.

    Args:
        pictures: The addresses of those beside it.
    """
    words = as_text(question)
    return {"role": "user", "content": [draw_pictures(pictures), words] if pictures else words}


def waiting_message(plan: str, words: str = "") -> Message:
    """Return an answer that is still being written.

    Args:
        plan: What is being searched, until the first word comes.
        words: As far as it is written.
    """
    return {"role": "assistant", "content": as_text(words) if words else f"*{as_text(plan)} …*"}


def problem_message(sentence: str) -> Message:
    """Return what stands in place of an answer."""
    return {"role": "assistant", "content": [as_text(sentence)]}


def answer_message(answer: AnswerResponse | TurnItem, given: Verdicts) -> Message:
    """Return an answer, new or kept, with what it rests on and what was said of that."""
    links = " ".join(_link(number, item) for number, item in enumerate(answer.evidence[:9], 1))
    words = as_text(answer.answer.strip() or "(no words)")
    missing = left_out(answer.left_out) if isinstance(answer, AnswerResponse) else NOTHING
    shown = part(
        _basis(answer),
        _tiles(answer, given),
        _nearest(answer, given),
        missing,
        _facts(answer),
        kind="turn",
    )
    return {
        "role": "assistant",
        "content": [f"{words} {links}".strip(), gr.HTML(shown, apply_default_css=False)],
    }


def kept_messages(turns: Sequence[TurnItem], verdicts: Callable[[str], Verdicts]) -> list[Message]:
    """Return a conversation as it was kept.

    Args:
        verdicts: Says what was said of the moments of a question.
    """
    return [
        message
        for turn in turns
        for message in (
            question_message(turn.question, turn.image_urls),
            answer_message(turn, verdicts(turn.question)),
        )
    ]


def spans_of(evidence: Sequence[EvidenceItem]) -> tuple[PlayerSpan, ...]:
    """Return evidence as the player marks it."""
    return tuple(
        PlayerSpan(video_id=item.video_id, start_s=item.start_s, end_s=item.end_s)
        for item in evidence
    )


def draw_starters(questions: list[str], *, is_moving: bool) -> Markup:
    """Return questions that were made from what was observed: each has an answer."""
    words = "Questions that this video answers:"
    if not questions:
        if not is_moving:
            return NOTHING
        words = "Questions appear here once something was observed."
    buttons = Markup("").join(
        Markup(
            '<button type="button" class="chip" data-action="ask" data-key="{}">{}</button>'
        ).format(question, question)
        for question in questions
    )
    return Markup('<div class="lw part starters"><p class="muted">{}</p>{}</div>').format(
        words, buttons
    )


def kept_table(kept: list[ConversationItem]) -> TableData:
    """Return earlier conversations, to be opened or deleted."""
    return TableData(
        title="Earlier conversations",
        columns=("Asked", "Last"),
        rows=tuple(
            TableRow(
                key=item.conversation_id,
                cells=(item.title, local_time(item.updated_at)),
                actions=(
                    RowAction(action="open", text="Open", label=f"Open {item.title}"),
                    RowAction(
                        action="delete",
                        text="Delete",
                        label=f"Delete {item.title}",
                        asks="Its questions and answers are gone then.",
                    ),
                ),
            )
            for item in kept
        ),
        instead=Markup('<p class="faint">No conversation has been kept yet.</p>'),
    )


def row_text(row: EvidenceObservation) -> str:
    """Return what a row states: `grey person`, or what was read or said in quotation marks."""
    return f"“{row.text}”" if row.text else " ".join([*row.colours[:1], row.label])


def _link(number: int, item: EvidenceItem) -> str:
    query = urlencode({"v": item.video_id, "t": item.start_s, "end": item.end_s})
    return f"[\\[{number}\\]](/ui/watch?{query})"


def _basis(answer: AnswerResponse | TurnItem) -> Markup:
    kinds = [SOURCES[row.kind] for item in answer.evidence for row in item.observations]
    words = {
        None: "Kept by an earlier version",
        "nothing": "Nothing here answers this",
        "model": f"Answered by the model {answer.model}",
        "observations": f"Answered from {', '.join(dict.fromkeys(kinds)) or 'what was observed'}",
    }[answer.answered_by]
    times = [
        f"[{number}] {item.video}, {span_text(item.start_s, item.end_s)}"
        for number, item in enumerate(answer.evidence, 1)
    ]
    return Markup(
        '<p class="plan"><span class="chip basis {}">{}</span><span>searched {}</span>'
        '<button type="button" class="quiet" data-copy="{}">Copy</button></p>'
    ).format(
        answer.answered_by or "",
        words,
        format_duration(answer.searched_s),
        "\n".join([answer.answer, *times]),
    )


def _card(
    item: EvidenceItem, question: str, given: Verdicts, *, is_confirmed: bool = True
) -> MomentCard:
    rows = dict.fromkeys(row_text(row) for row in item.observations)
    return MomentCard(
        video_id=item.video_id,
        video=item.video,
        start_s=item.start_s,
        end_s=item.end_s,
        peak_s=item.keyframe_s,
        about=", ".join(list(rows)[:3]),
        is_confirmed=is_confirmed,
        start_at=item.start_at,
        start_source=item.start_source,
        verdict=evidence_moment(item, question, given),
    )


def _tiles(answer: AnswerResponse | TurnItem, given: Verdicts) -> Markup:
    cards = [
        draw_shot(_card(item, answer.question, given), number, is_urgent=number <= MOST_SHOWN)
        for number, item in enumerate(answer.evidence, 1)
    ]
    if not cards:
        return NOTHING
    grid = Markup('<div class="evidence">{}</div>')
    first = grid.format(Markup("").join(cards[:MOST_SHOWN]))
    if len(cards) <= MOST_SHOWN:
        return first
    rest = grid.format(Markup("").join(cards[MOST_SHOWN:]))
    return first + Markup("<details><summary>{} more</summary>{}</details>").format(
        len(cards) - MOST_SHOWN, rest
    )


def _nearest(answer: AnswerResponse | TurnItem, given: Verdicts) -> Markup:
    moments = answer.nearest
    if not moments:
        return NOTHING
    count = "The nearest moment" if len(moments) == 1 else f"{len(moments)} nearest moments"
    cards = Markup("").join(
        draw_shot(_card(item, answer.question, given, is_confirmed=False)) for item in moments
    )
    return Markup(
        '<details class="nearest"><summary>{}, not confirmed</summary>'
        '<div class="evidence">{}</div></details>'
    ).format(count, cards)


def _facts(answer: AnswerResponse | TurnItem) -> Markup:
    timing = answer.timing
    lines = [
        ("model", answer.model),
        ("found in", f"{timing.retrieve_ms:.0f} ms"),
        ("first word", f"{timing.first_token_ms:.0f} ms"),
        ("whole answer", f"{timing.total_ms:.0f} ms"),
    ]
    if answer.recalled_chunks:
        lines.insert(0, ("recall", f"{answer.recall}, {answer.recalled_chunks} chunks"))
    lines += [
        (f"[{number}] {item.origin}", f"{format_clock(item.start_s)} support {item.score:.2f}")
        for number, item in enumerate(answer.evidence, 1)
    ]
    rows = Markup("").join(
        Markup('<span>{}</span><span class="mono">{}</span>').format(*line) for line in lines
    )
    return Markup('<details><summary>How</summary><div class="facts">{}</div></details>').format(
        rows
    )
