"""PLLaVA's conversation templates: exact strings around a video and its questions.

Every template exists for two kinds of decoder: LLaMA with the Vicuna roles, and Yi with chat
markers. Training used neither of the evaluation layouts (its turns end in `</s>`); the released
numbers come from the ones here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from engine.records import Turn

VIDEO_TAG = "<image>"

_VCG = (
    "You are Video-ChatGPT, a large vision-language assistant. You are able to understand the "
    "video content that the user provides, and assist the user with a variety of tasks using "
    "natural language.Follow the instructions carefully and explain your answers in detail based "
    "on the provided video."
)
_MVBENCH = (
    "Carefully watch the video and pay attention to the cause and sequence of events, the detail "
    "and movement of objects, and the action and pose of persons. Based on your observations, "
    "select the best option that accurately addresses the question.\n"
)
_RECAPTION = (
    "You are a powerful Video Magic ChatBot, a large vision-language assistant. \n"
    "You are able to understand the video content that the user provides and assist the user in "
    "a video recaptioning task.\nThe user will provide you with the video and maybe some extra "
    "noisy information to help you out. Make use of the information in a proper way to be "
    "competent for the recaption job\n### INSTRUCTIONS:\n1. Follow the user's instruction.\n"
    "2. Be critical yet believe in yourself.\n"
)
_DEMO = (
    "You are a powerful Video Magic ChatBot, a large vision-language assistant. \n"
    "You are able to understand the video content that the user provides and assist the user in "
    "a video-language related task.\nThe user might provide you with the video and maybe some "
    "extra noisy information to help you out or ask you a question. Make use of the information "
    "in a proper way to be competent for the job.\n### INSTRUCTIONS:\n1. Follow the user's "
    "instruction.\n2. Be critical yet believe in yourself.\n"
)
_KEY_FRAMES = (
    " The input consists of a sequence of key frames from a video. Answer the question concisely "
    "first and followed by significant events, characters, or objects that appear throughout the "
    "frames. Question: {question} \n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Exact strings around the turns of a conversation."""

    system: str = ""
    user: str = "USER: "
    assistant: str = "ASSISTANT:"
    after_system: str = " "
    after_user: str = " "
    after_reply: str = "</s>"
    video: str = f"{VIDEO_TAG}\n"
    """The tag of the video with the text behind it."""
    has_video_turn: bool = True
    """Whether the video has a user turn of its own; else it opens the question's."""
    query: str = "{question}"
    answer_prefix: str = ""
    """Text that the reply is made to begin with."""

    def render(
        self, question: str, *, system: str | None = None, history: Sequence[Turn] = ()
    ) -> str:
        """Write the prompt up to where the model continues, without the answer's prefix.

        Args:
            question: Put into the template's query.
            system: Instead of the template's own system text.
            history: Earlier turns, oldest first; the video stands before them.
        """
        queries = [self.query.format(question=turn.question) for turn in history]
        queries.append(self.query.format(question=question))
        replies = [self.assistant + turn.answer + self.after_reply for turn in history]
        text = self.user + self.video + self.after_user if self.has_video_turn else ""
        queries[0] = queries[0] if self.has_video_turn else self.video + queries[0]
        for query, reply in zip(queries, [*replies, self.assistant], strict=True):
            text += self.user + query + self.after_user + reply
        opening = self.system if system is None else system
        return (opening + self.after_system if opening else "") + text


_YI = Template(
    user="<|im_start|>user\n",
    assistant="<|im_start|>assistant\n",
    after_system="<|im_end|>\n",
    after_user="<|im_end|>\n",
    after_reply="<|im_end|>\n",
)
_QA = Template(has_video_turn=False, query=_KEY_FRAMES, answer_prefix="\nAnswer: In the video,")
_BEST_OPTION = "Best option:("

TEMPLATES: Mapping[str, Template] = MappingProxyType(
    {
        "plain": Template(user="USER:", video=f"{VIDEO_TAG} ", has_video_turn=False),
        "demo": Template(system=_DEMO, user="USER:", video=f"{VIDEO_TAG} "),
        "eval_vcgbench": Template(system=_VCG),
        "eval_vcg_llavanext": replace(_YI, system=_VCG),
        "eval_mvbench": Template(system=_MVBENCH, answer_prefix=_BEST_OPTION),
        # The larger model was evaluated under the other benchmark's system text.
        "eval_mvbench_llavanext": replace(_YI, system=_VCG, answer_prefix=_BEST_OPTION),
        "eval_videoqabench": _QA,
        "eval_videoqa_llavanext": replace(
            _YI,
            # The only system text that opens with a marker of its own.
            system="<|im_start|>system\nAnswer the question.",
            has_video_turn=False,
            query=_KEY_FRAMES,
            answer_prefix=_QA.answer_prefix,
        ),
        "eval_recaption": Template(system=_RECAPTION),
        "eval_recaption_llavanext": replace(_YI, system=_RECAPTION),
    }
)
"""By upstream's names, and the flow of its chat program."""
