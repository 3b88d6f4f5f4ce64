"""Tokenizers of checkpoints, and chat templates.

A complete `tokenizer.json` is read by the `tokenizers` library alone; transformers, whose import
takes seconds, is loaded only for older layouts and for a checkpoint's own chat template.

Text that people type is encoded as plain text: a question that spells `<|im_end|>` does not end
anything. Any string can be encoded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from engine.errors import WeightsError
from engine.records import Turn

FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")


class Tokenizer:
    """A checkpoint's tokenizer."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @classmethod
    def load(cls, folder: Path, *, with_template: bool = True) -> "Tokenizer":
        """Read the tokenizer files of a checkpoint folder; nothing is fetched.

        Args:
            folder: Of the checkpoint.
            with_template: Whether its chat template is wanted, for which transformers is loaded.
        Raises:
            WeightsError: There are none, or they cannot be read.
        """
        if not any((folder / name).is_file() for name in FILES):
            raise WeightsError(f"{folder} holds no tokenizer: none of {', '.join(FILES)}")
        try:
            return cls(_open(folder, with_template=with_template))
        except (ValueError, OSError, KeyError) as error:
            raise WeightsError(f"the tokenizer in {folder} cannot be read: {error}") from error

    def plain(self, text: str) -> list[int]:
        """Encode foreign text; nothing in it is taken for a control token."""
        ids: list[int] = self._inner.encode(
            _encodable(text), add_special_tokens=False, split_special_tokens=True
        )
        return ids

    def control(self, text: str) -> list[int]:
        """Encode our own text, in which control tokens count as such."""
        ids: list[int] = self._inner.encode(_encodable(text), add_special_tokens=False)
        return ids

    def framed(self, text: str, max_tokens: int, *, is_padded: bool = False) -> list[int]:
        """Encode with the start and end tokens that a text tower expects, cut to its length."""
        ids: list[int] = self._inner.encode(
            _encodable(text),
            truncation=True,
            max_length=max_tokens,
            padding="max_length" if is_padded else False,
        )
        return ids

    def opened(self, text: str) -> list[int]:
        """Encode our own text with the start token, where this tokenizer puts one."""
        ids: list[int] = self._inner.encode(_encodable(text))
        return ids

    def part_controls(self, text: str) -> str:
        """Part whatever spells a control token in foreign text by a space.

        For prompts that must be encoded in one piece, where `plain` cannot keep them apart.
        """
        controls = {*self._inner.all_special_tokens, *self._inner.get_added_vocab()}
        # Longest first: a short token may be a part of a longer one.
        for token in sorted(controls, key=len, reverse=True):
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return text

    def ends(self) -> frozenset[int]:
        """Return ids that end an answer: the tokenizer's own, and those of known chat formats."""
        named = (self.id_of(token) for token in ("</s>", "<|im_end|>", "<|endoftext|>"))
        own = self._inner.eos_token_id
        return frozenset(token_id for token_id in (own, *named) if token_id is not None)

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> str | None:
        """Write a conversation up to where the model continues, by the checkpoint's own template.

        Args:
            messages: `role` and `content` of every turn.
        Returns:
            `None` where the checkpoint brings no template.
        """
        if not self._inner.chat_template:
            return None
        text: str = self._inner.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return text

    def decode(self, ids: Sequence[int]) -> str:
        """Decode ids, control tokens left out."""
        text: str = self._inner.decode(list(ids), skip_special_tokens=True)
        return text

    def id_of(self, token: str) -> int | None:
        """Look up the id of a token by its spelling; `None` if unknown."""
        token_id = self._inner.convert_tokens_to_ids(token)
        is_known = isinstance(token_id, int) and token_id != self._inner.unk_token_id
        return token_id if is_known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatTemplate:
    """Exact strings around the turns of a conversation about one video."""

    system: str
    """Before everything, with its own line end."""
    user: str
    assistant: str
    end: str
    """Closes a turn of the person or of the model."""

    def before_video(self, tokenizer: Tokenizer) -> list[int]:
        """Encode the prompt prefix, whose keys and values are the sink."""
        return tokenizer.control(self.system + self.user)

    def after_video(
        self,
        tokenizer: Tokenizer,
        question: str,
        history: Sequence[Turn] = (),
        *,
        opening: str = "\n",
    ) -> list[int]:
        """Encode everything behind the video: earlier turns, question, opening of the answer.

        Args:
            tokenizer: The checkpoint's.
            question: As people type it.
            history: Earlier turns, oldest first.
            opening: Between the video and the first question.
        """
        ids: list[int] = []
        # The opening belongs to the first question, which stands right behind the video.
        before = opening
        for turn in history:
            ids += tokenizer.plain(before + turn.question)
            ids += tokenizer.control(self.end + self.assistant)
            ids += tokenizer.plain(turn.answer)
            ids += tokenizer.control(self.end + self.user)
            before = ""
        ids += tokenizer.plain(before + question)
        return ids + tokenizer.control(self.end + self.assistant)


QWEN = ChatTemplate(
    system="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n",
    user="<|im_start|>user\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>\n",
)
"""Qwen2's ChatML as Video-XL writes it."""


def _open(folder: Path, *, with_template: bool) -> Any:
    """Open a folder with the lightest reader that can."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    is_complete = (folder / "tokenizer.json").is_file()
    has_template = "chat_template" in config or (folder / "chat_template.jinja").is_file()
    if is_complete and not (with_template and has_template):
        return _Complete(folder / "tokenizer.json", config)
    # A late import for its weight alone: it takes seconds.
    import transformers

    if is_complete:
        return transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    kind = transformers.AutoTokenizer if config else transformers.Qwen2Tokenizer
    return kind.from_pretrained(folder, local_files_only=True)


class _Complete:
    """A `tokenizer.json`, with the few calls of transformers' classes that `Tokenizer` makes."""

    chat_template = None

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        try:
            self._inner = tokenizers.Tokenizer.from_file(str(path))
            # A second one, because a switch on the first would be seen by other threads.
            self._plain = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:
            # The library raises bare exceptions for a file that it cannot read.
            raise ValueError(str(error)) from error
        self._plain.encode_special_tokens = True
        for inner in (self._inner, self._plain):
            inner.no_truncation()
            inner.no_padding()
        named = {name: _spelling(config.get(f"{name}_token")) for name in ("eos", "unk", "pad")}
        self.eos_token_id, self.unk_token_id, pad = (
            None if token is None else self._inner.token_to_id(token) for token in named.values()
        )
        self._pad_id = pad or 0
        added = self._inner.get_added_tokens_decoder()
        self.all_special_tokens = [token.content for token in added.values() if token.special]
        self._added = {token.content: i for i, token in added.items()}

    def encode(
        self,
        text: str,
        *,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        truncation: bool = False,
        max_length: int | None = None,
        padding: str | bool = False,
    ) -> list[int]:
        inner = self._plain if split_special_tokens else self._inner
        encoded = inner.encode(text, add_special_tokens=False)
        if truncation and max_length is not None:
            # Cut the text, not the end token behind it.
            encoded.truncate(max_length - inner.num_special_tokens_to_add(False))
        if add_special_tokens:
            encoded = inner.post_process(encoded, None, True)
        ids = list(encoded.ids)
        if padding and max_length is not None:
            ids += [self._pad_id] * (max_length - len(ids))
        return ids

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        text: str = self._inner.decode(ids, skip_special_tokens=skip_special_tokens)
        return text

    def convert_tokens_to_ids(self, token: str) -> int | None:
        token_id: int | None = self._inner.token_to_id(token)
        return token_id

    def get_added_vocab(self) -> dict[str, int]:
        return dict(self._added)


def _spelling(token: Any) -> str | None:
    """Return the text of a token, which configs write as such or as an object that holds it."""
    return token.get("content") if isinstance(token, Mapping) else token


def _encodable(text: str) -> str:
    """Replace what UTF-8 cannot hold, such as half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")
