"""VideoLLaMA 2's prompts: tags, system texts, and the layouts of its older server.

Inference lays a conversation out with the tokenizer's own chat template; the older layouts stand
in where a checkpoint brings none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from engine.records import Turn

VIDEO_TAG = "<video>"
RELEASED_FRAMES = 8
"""Frames of a clip where a configuration does not say."""

_CAREFUL_OPENING = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, "
    "while being safe.  Your answers should not include any harmful, unethical, racist, sexist, "
    "toxic, dangerous, or illegal content. Please ensure that your responses are socially unbiased "
    "and positive in nature."
)
_CAREFUL_CLOSING = (
    "If a question does not make any sense, or is not factually coherent, explain why instead of "
    "answering something not correct. If you don't know the answer to a question, please don't "
    "share false information."
)
MISTRAL_SYSTEM = f"<<SYS>>\n{_CAREFUL_OPENING}\n{_CAREFUL_CLOSING}\n<</SYS>>"
"""The system message of Mistral and Mixtral types; Qwen types are given none."""


def user_text(question: str, tag: str = VIDEO_TAG) -> str:
    """Write the user's turn: the tag on a line of its own, then the question.

    Args:
        question: As people type it.
        tag: Empty for a question about nothing seen or heard; the line break stays.
    """
    return f"{tag}\n{question}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Exact strings around the turns of a conversation."""

    opening: str = ""
    """System text and the first user's role."""
    before_user: str = ""
    """The role of every later user turn."""
    after_user: str = ""
    """Opens the reply."""
    before_reply: str = ""
    after_reply: str = ""

    def render(self, question: str, *, tag: str = VIDEO_TAG, history: Sequence[Turn] = ()) -> str:
        """Write the prompt up to where the model continues; the tag goes to the first turn.

        Args:
            question: The last turn.
            tag: Stands for the video; empty for a question without one.
            history: Earlier turns, oldest first.
        """
        questions = [turn.question for turn in history] + [question]
        questions[0] = user_text(questions[0], tag)
        replies = [self.before_reply + turn.answer + self.after_reply for turn in history]
        turns = [
            text + self.after_user + reply
            for text, reply in zip(questions, [*replies, ""], strict=True)
        ]
        return self.opening + self.before_user.join(turns)


def _llama(system: str) -> Layout:
    return Layout(
        opening=f"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n",
        before_user="[INST] ",
        after_user=" [/INST]",
        before_reply=" ",
        after_reply=" </s>",
    )


_QWEN = Layout(
    opening="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
    before_user="<|im_start|>user\n",
    after_user="<|im_end|>\n<|im_start|>assistant\n",
    after_reply="<|im_end|>\n",
)

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "mistral": _llama(
            "A chat between a curious user and an artificial intelligence assistant. The assistant "
            "gives helpful, detailed, and polite answers to the user's questions."
        ),
        "llama2": _llama(f"{_CAREFUL_OPENING}\n\n{_CAREFUL_CLOSING}"),
        "qwen": _QWEN,
        "qwen_plain": Layout(
            opening="<|im_start|>user\n",
            before_user="<|im_start|>user\n",
            after_user="<|im_end|><|im_start|>assistant\n",
            after_reply="<|im_end|>",
        ),
        "plain": Layout(),
    }
)
"""By upstream's names."""
