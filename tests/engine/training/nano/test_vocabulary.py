from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, Qwen2Tokenizer

from engine.training.nano.vocabulary import (
    SPECIALS,
    id_of,
    save_query_vocabulary,
    save_vocabulary,
    train_vocabulary,
)


@pytest.fixture(scope="module")
def vocabulary() -> Tokenizer:
    return train_vocabulary()


@pytest.mark.parametrize("text", ["What code is on the red star card?", "Ünïcode 漢字 \U0001f600",
                                  "a\n\tb  c", "47."])  # fmt: skip
def test_any_text_comes_back_unchanged(vocabulary: Tokenizer, text: str) -> None:
    assert vocabulary.decode(vocabulary.encode(text).ids) == text


def test_the_world_is_written_in_few_tokens(vocabulary: Tokenizer) -> None:
    assert len(vocabulary.encode("What code is on the red star card?").ids) == 9
    prefix = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    assert len(vocabulary.encode(prefix).ids) == 14


def test_the_folder_loads_as_a_qwen2_tokenizer(vocabulary: Tokenizer, tmp_path: Path) -> None:
    save_vocabulary(vocabulary, tmp_path)
    text = "Which came first, the red star card or the dog?"
    for loaded in (
        AutoTokenizer.from_pretrained(tmp_path),
        Qwen2Tokenizer.from_pretrained(tmp_path),
    ):
        assert loaded(text)["input_ids"] == vocabulary.encode(text).ids
        assert loaded.eos_token_id == id_of(vocabulary, SPECIALS[2])


def test_queries_are_lower_case_and_closed_by_the_largest_id(
    vocabulary: Tokenizer, tmp_path: Path
) -> None:
    save_query_vocabulary(vocabulary, tmp_path, max_tokens=12)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    ids = loaded("A RED Star card")["input_ids"]
    assert ids == loaded("a red star card")["input_ids"]
    assert ids[-1] == max(ids) == id_of(vocabulary, SPECIALS[0])
    assert len(loaded("word " * 50, truncation=True)["input_ids"]) == 12
