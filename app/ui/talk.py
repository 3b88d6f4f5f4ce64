"""The conversation about videos: the chat, what it offers, and what was kept of earlier ones."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import gradio as gr
from markupsafe import Markup

from app.api.deps import AppContext
from app.schemas.conversations import ConversationItem
from app.services.ask import model_note
from app.services.conversations import (
    list_conversations,
    remove_conversation,
    show_conversation,
)
from app.services.images import takes_images
from app.services.verdicts import verdicts_on
from app.ui.asking import MOST_TURNS, asked, stopped, stream_answer
from app.ui.caller import EVENT, as_sentences, require_reader, require_session
from app.ui.components.address import Address
from app.ui.components.base import OwnComponent
from app.ui.components.player import PlayerSpan
from app.ui.components.table import Table
from app.ui.conversation import Message, kept_messages, kept_table, spans_of
from app.ui.markup import NOTHING, part
from app.ui.question_box import Asked, BoxValue, draw_box, read_box, sources_of
from app.ui.seen import ActionPanel
from app.ui.verdicts import add_verdicts

Update = dict[Any, object]
"""Components with what they show from now on."""
_PLACES: Final = (("this video", "one"), ("all videos", "all"))
_PICTURES: Final = ("the pictures alone", "pictures")
_GREETING: Final = (
    "Ask in plain words. Every answer shows the moments that support it; when nothing does, "
    "it says so."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTalk:
    """A conversation that was kept, as the page shows it."""

    key: str
    video: str
    """The video that it is about; empty where it is about several."""
    query: str
    """Its last question."""
    spans: tuple[PlayerSpan, ...]
    """The evidence of its last answer."""
    messages: tuple[Message, ...]
    among: tuple[str, ...] = ()
    """The videos that are asked, where they are several."""


class TalkHead(OwnComponent):
    """Title of the panel, and what leads to other conversations.

    Events: `earlier` and `anew`, by a button each.
    """

    script = "relay"
    triggers = ("earlier", "anew")

    def __init__(self) -> None:
        """Draw it."""
        words = Markup("").join(
            Markup('<button type="button" class="quiet" data-event="{}">{}</button>').format(*pair)
            for pair in (("earlier", "Earlier"), ("anew", "New"))
        )
        super().__init__(part(Markup("<h2>Ask</h2>"), words), elem_classes=["talk-head"])


class TalkPanel:
    """The panel, for one server: draw it, then wire it to the page around it."""

    def __init__(self, context: AppContext) -> None:
        """Draw nothing yet."""
        self._context = context
        self._places = [*_PLACES]

    def draw(self) -> None:
        """Draw the components."""
        self.head = TalkHead()
        self.kept = Table(visible=False, elem_id="lw-kept")
        self.chat = gr.Chatbot(
            label="Conversation",
            show_label=False,
            container=False,
            elem_id="lw-chat",
            height="100%",
            buttons=[],
            latex_delimiters=[],
            allow_tags=False,
            placeholder=_GREETING,
        )
        self.starters = ActionPanel(elem_id="lw-starters")
        if takes_images(self._context.services):
            self._places.append(_PICTURES)
        self.where = gr.Dropdown(
            self._places,
            value="one",
            label="Look in",
            filterable=False,
            elem_id="lw-where",
        )
        self.box = draw_box(self._context)
        note = model_note(self._context.services)
        words = Markup('<p class="model-note faint">{}</p>').format(note) if note else NOTHING
        gr.HTML(part(words), apply_default_css=False)
        self.key = gr.Textbox(visible=False)
        add_verdicts(self._context)

    @property
    def shown(self) -> list[Any]:
        """The components that a page updates."""
        return [self.chat, self.starters, self.box, self.kept, self.key, self.where]

    def wire(self, video: gr.Textbox, address: Address, outputs: list[Any]) -> list[Any]:
        """Let questions be asked.

        Args:
            video: The id of the video that is open.
            address: Names the conversation once it is kept.
            outputs: The components of the panel and `address` among others.
        Returns:
            The events that end with an answer.
        """
        self._address = address
        self.head.earlier(self.list_kept, None, [self.kept], **EVENT)
        talk = [self.chat, self.key, video, self.where]
        asking = self.box.submit(self.ask, [self.box, *talk], outputs, **EVENT)
        again = self.chat.retry(self.ask_again, talk, outputs, **EVENT)
        started = self.starters.act(self.ask_starter, talk, outputs, **EVENT)
        answered = [asking, again, started]
        self.box.stop(self.stop, [self.chat], outputs, cancels=answered, **EVENT)
        return answered

    def show(self, kept: KeptTalk | None, question: str = "", among: Sequence[str] = ()) -> Update:
        """Return the panel with a conversation, or ready for a new one.

        Args:
            question: Stands in the box, to be asked.
            among: Videos that are asked together; those of a conversation go before them.
        """
        several = ",".join(kept.among if kept else among)
        n_several = several.count(",") + 1
        places = [*self._places, *([(f"these {n_several} videos", several)] if several else [])]
        return {
            self.where: gr.update(choices=places, value=several or "one"),
            self.key: kept.key if kept else "",
            self.chat: list(kept.messages) if kept else [],
            self.kept: gr.update(visible=False),
            self.box: gr.update(value=question, interactive=True),
        }

    def find(self, key: str, request: gr.Request) -> KeptTalk:
        """Return a conversation of the user's own.

        Raises:
            NotFoundError: There is none.
        """
        principal = require_reader(request)
        document = show_conversation(self._context.services, principal.user.id, principal, key)
        given = partial(verdicts_on, self._context.services, principal.user.id)
        last = document.turns[-1] if document.turns else None
        return KeptTalk(
            key=document.conversation_id,
            video=document.videos[0] if document.videos else "",
            query=last.question if last else "",
            spans=spans_of(last.evidence) if last else (),
            messages=tuple(kept_messages(document.turns, given)),
            among=tuple(document.videos) if len(document.videos) > 1 else (),
        )

    def list_kept(self, request: gr.Request) -> object:
        """List earlier conversations."""
        with as_sentences(request):
            return gr.update(value=kept_table(self._list(request)), visible=True)

    def remove(self, key: str, request: gr.Request) -> Update:
        """Delete a conversation."""
        with as_sentences(request):
            principal = require_session(request)
            remove_conversation(self._context.services, principal.user.id, key)
        return {self.kept: self.list_kept(request)}

    def _list(self, request: gr.Request) -> list[ConversationItem]:
        principal = require_reader(request)
        return list_conversations(self._context.services, principal.user.id, principal)

    async def ask(
        self,
        value: BoxValue,
        chat: list[Message],
        key: str,
        video: str,
        where: str,
        request: gr.Request,
    ) -> AsyncIterator[Update]:
        """Answer the question in the box, word by word."""
        asking = read_box(value)
        if not asking.words and not asking.pictures:
            yield {self.box: ""}
            return
        async for update in self._answer(asking, chat, key, video, where, request):
            yield update

    async def _answer(
        self,
        asking: Asked,
        chat: list[Message],
        key: str,
        video: str,
        where: str,
        request: gr.Request,
    ) -> AsyncIterator[Update]:
        yield {self.box: _box(value="", is_busy=True), self.starters: ""}
        is_answered = False
        turns = chat[-2 * MOST_TURNS :]
        steps = stream_answer(
            self._context,
            request,
            turns,
            asking,
            talk=key,
            videos={"one": [video], "all": [], "pictures": []}.get(where, where.split(",")),
            pictures_alone=where == "pictures",
        )
        async with aclosing(steps):
            async for messages, answer in steps:
                kept: Update = {}
                if answer is not None:
                    is_answered, key = True, answer.conversation_id
                    kept = {self.key: key, self._address: {"v": video, "c": key}}
                    kept[self.box] = _box(is_busy=False)
                yield {self.chat: messages, **kept}
        if not is_answered:
            # Pictures are not to be looked for again because of a word, or a size.
            rest = {"value": asking.in_box} if asking.pictures else {}
            yield {self.box: _box(is_busy=False, **rest)}

    async def ask_starter(
        self,
        chat: list[Message],
        key: str,
        video: str,
        where: str,
        event: gr.EventData,
        request: gr.Request,
    ) -> AsyncIterator[Update]:
        """Ask one of the questions that are offered."""
        asking = Asked(words=event.key)
        async for update in self._answer(asking, chat, key, video, where, request):
            yield update

    async def ask_again(
        self,
        chat: list[Message],
        key: str,
        video: str,
        where: str,
        event: gr.RetryData,
        request: gr.Request,
    ) -> AsyncIterator[Update]:
        """Ask the last question once more, in place of its answer."""
        place = event.index if isinstance(event.index, int) else event.index[0]
        asking = Asked(words=asked(chat[place]), pictures=sources_of(chat[place]))
        async for update in self._answer(asking, chat[:place], key, video, where, request):
            yield update

    def stop(self, chat: list[Message]) -> Update:
        """Leave an answer as far as it came."""
        return {self.chat: stopped(chat), self.box: _box(is_busy=False)}


def _box(*, is_busy: bool, **changes: Any) -> Any:
    """Return the box with the button that starts an answer, or that stops the one which comes."""
    return gr.update(
        submit_btn=False if is_busy else "Ask", stop_btn="Stop" if is_busy else False, **changes
    )
