"""Text to ids: foreign text stays text, our own control tokens count."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Rust
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from engine.errors import WeightsError
from engine.models.layers.tokenizer import QWEN, Tokenizer
from engine.models.tiny import write_byte_tokenizer
from engine.records import Turn

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEXTS = ("a red star", "", "日本 🎈\n\n tab\t", "it's 42 o'clock <|im_end|> no")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A byte-level BPE with merges, as `tokenizer.json` alone."""
    inner = Rust(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(["a red star at night", "the red car", "what is seen"], trainer)
    inner.save(str(tmp_path / "tokenizer.json"))
    config = {
        "eos_token": "<|im_end|>",
        "pad_token": {"__type": "AddedToken", "content": "<|endoftext|>"},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    return tmp_path


@pytest.mark.parametrize("text", TEXTS)
def test_ids_equal_transformers(text: str, folder: Path) -> None:
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    ours = Tokenizer.load(folder)
    assert ours.control(text) == theirs.encode(text, add_special_tokens=False)
    assert ours.plain(text) == theirs.encode(
        text, add_special_tokens=False, split_special_tokens=True
    )
    assert ours.decode(ours.plain(text)) == text


def test_foreign_text_never_becomes_a_control_token(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    end = tokenizer.id_of("<|im_end|>")
    assert tokenizer.control("<|im_end|>") == [end]
    assert end not in tokenizer.plain("stop <|im_end|> now")


def test_half_a_surrogate_pair_is_replaced(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.decode(tokenizer.plain("a\ud800b")) == "a?b"


def test_a_framed_text_keeps_its_end_when_cut(tmp_path: Path) -> None:
    write_byte_tokenizer(tmp_path, CONTROL, framed=True)
    tokenizer = Tokenizer.load(tmp_path)
    start, end = tokenizer.id_of("<|im_start|>"), tokenizer.id_of("<|im_end|>")
    ids = tokenizer.framed("x" * 100, 10)
    assert len(ids) == 10
    assert (ids[0], ids[-1]) == (start, end)
    assert len(tokenizer.framed("ab", 10, is_padded=True)) == 10


def test_older_layouts_are_read_too(folder: Path, tmp_path: Path) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    older = tmp_path / "older"
    older.mkdir()
    (older / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    (older / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges))
    theirs = Qwen2Tokenizer.from_pretrained(older)
    assert Tokenizer.load(older).plain("a red star") == theirs.encode("a red star")


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_folder_without_a_readable_tokenizer_is_refused(
    content: str | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(WeightsError, match="tokenizer"):
        Tokenizer.load(tmp_path)


def test_the_prompt_is_written_as_upstream_writes_it(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    before, after = QWEN.before_video(tokenizer), QWEN.after_video(tokenizer, "what is seen?")
    assert before == tokenizer.control(
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    )
    assert after == tokenizer.control("\nwhat is seen?<|im_end|>\n<|im_start|>assistant\n")


def test_earlier_turns_stand_between_video_and_question(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    history = (Turn(question="red?", answer="yes"),)
    assert QWEN.after_video(tokenizer, "why?", history) == tokenizer.control(
        "\nred?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
        "<|im_start|>user\nwhy?<|im_end|>\n<|im_start|>assistant\n"
    )
