"""What the tiny variants share: byte tokenizers, for which no file is fetched, and weights."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer
from torch import nn


def write_byte_tokenizer(
    folder: Path, control: Sequence[str], *, framed: bool = False, opened: bool = False
) -> None:
    """Write a tokenizer of 256 bytes and some control tokens behind them.

    Args:
        folder: Made if missing.
        control: Control tokens; the first is also padding.
        framed: Put the last but one before every text and the last behind it, as CLIP does.
        opened: Put the last but one before every text, as LLaMA does.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: i for i, letter in enumerate(letters)}
    inner = RustTokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True) for token in control])
    if framed or opened:
        first, last = control[-2:]
        ids = [(token, inner.token_to_id(token)) for token in (first, last)]
        inner.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}" if framed else f"{first} $A", special_tokens=ids
        )
    folder.mkdir(parents=True, exist_ok=True)
    inner.save(str(folder / "tokenizer.json"))
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": control[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")


def randomise(net: nn.Module, *, seed: int) -> None:
    """Random weights of a usable scale: norms are ones, biases zeros, products keep their size."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(net.named_parameters()):
            if parameter.dim() > 1:
                scale = 1.0 if "embed" in name else parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=random) * scale)
            else:
                is_gain = name.endswith(("weight", "gain", "scale"))
                parameter.fill_(1.0 if is_gain else 0.0)
