"""A small byte-level BPE vocabulary: any text can be written, the world's own words are short.

Decision: Qwen2's way of cutting text and Qwen2's special tokens, because the folder must load as
a Qwen2 tokenizer. One vocabulary serves the language model and the CLIP text tower; the tower's
copy lower-cases, since a search box knows no capitals.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from engine.synthetic import grammar
from engine.synthetic.negatives import outside_question
from engine.synthetic.palette import COLOURS, SHAPES
from engine.synthetic.scene import LIGHTS
from engine.training.nano.captions import CARD, FIELDS, N_VALUES, phrase_for

SPECIALS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_CUT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SYSTEM: Final = "system\nYou are a helpful assistant."


def train_vocabulary(size: int = 1536) -> Tokenizer:
    """Learn the merges from the grammar of the world and from outside questions."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CUT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIALS),
        min_frequency=4,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    # Behind the vocabulary, as in Qwen2: the end mark is then also the largest id of a caption,
    # so both ways of pooling a CLIP text agree.
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


def save_vocabulary(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a Qwen2 tokenizer: vocab.json, merges.txt, tokenizer.json, tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.model.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(
        folder / "added_tokens.json", {token: tokenizer.token_to_id(token) for token in SPECIALS}
    )


def save_query_vocabulary(tokenizer: Tokenizer, folder: Path, *, max_tokens: int) -> None:
    """Write the CLIP tower's copy: lower case, cut to length, closed by the end mark."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    end = copy.token_to_id("<|endoftext|>")
    copy.post_processor = TemplateProcessing(
        single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", end)]
    )
    copy.enable_truncation(max_tokens)
    folder.mkdir(parents=True, exist_ok=True)
    copy.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": max_tokens,
        "clean_up_tokenization_spaces": False,
    }
    _write_json(folder / "tokenizer_config.json", config)


def id_of(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a special token."""
    token_id = tokenizer.token_to_id(token)
    assert token_id is not None, f"the vocabulary lacks {token}"
    return int(token_id)


def _corpus() -> Iterator[str]:
    rng = np.random.default_rng(0)
    for colour in COLOURS:
        for shape in SHAPES:
            yield grammar.card_caption(colour, shape, f"{rng.integers(100):02d}")
            yield grammar.sentence(f"the {grammar.thing_phrase('card', colour, shape)}")
        yield grammar.sentence(colour)
        for kind in grammar.MOTION:
            yield grammar.sentence(f"the {grammar.thing_phrase(kind, colour)}")
            for direction in ("left", "right"):
                yield grammar.actor_caption(kind, colour, direction)
    for place in grammar.WHERE:
        for light in LIGHTS:
            yield f"{grammar.scene_caption(place, light)} {grammar.sentence(grammar.WHERE[place])}"
    for _ in range(6):
        yield from (grammar.CANNOT_TELL, grammar.AT_THE_MOMENT, grammar.YES, grammar.NO)
        yield from (*grammar.COUNTS, "To the left.", "To the right.", "It is day.", "It is night.")
        yield _SYSTEM + "\nuser\nassistant\n"
    for _ in range(6000):
        facts = np.array([rng.integers(-1, n) for n in N_VALUES], dtype=np.int16)
        if facts[0] >= 0:
            facts = np.maximum(facts, 0).astype(np.int16)
            facts[[5, 6, 7] if facts[0] == CARD else [2, 3, 4]] = -1
        phrase = phrase_for(facts, rng)
        if phrase is not None:
            yield phrase.text
    for _ in range(2500):
        yield outside_question(rng, held_out=False)
    assert len(FIELDS) == len(N_VALUES)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
