"""Byte tokenizers for the tiny variants: every string has ids, no file has to be fetched."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer
from transformers import PreTrainedTokenizerFast


def write_byte_tokenizer(folder: Path, control: Sequence[str], *, framed: bool = False) -> None:
    """Write a tokenizer of 256 bytes and some control tokens behind them.

    Args:
        folder: Made if missing.
        control: Control tokens; the first is also padding.
        framed: Put the last but one before every text and the last behind it, as CLIP does.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: i for i, letter in enumerate(letters)}
    inner = RustTokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True) for token in control])
    if framed:
        first, last = control[-2:]
        ids = [(token, inner.token_to_id(token)) for token in (first, last)]
        inner.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=ids
        )
    folder.mkdir(parents=True, exist_ok=True)
    outer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=control[0])
    outer.save_pretrained(folder)
