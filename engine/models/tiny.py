"""Shared parts of the tiny variants that tests run: sizes, random weights, byte tokenizers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as RustTokenizer
from torch import nn

from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.towers import Tower, TowerConfig, pixels_of
from engine.models.layers.weights import save, write_json

DECODER = DecoderConfig(
    # 256 bytes and up to 8 control tokens.
    vocab_size=264,
    width=48,
    mlp_width=64,
    n_layers=3,
    n_heads=4,
    n_kv_heads=2,
    head_dim=12,
    rope_theta=1e6,
    qkv_bias=True,
)
"""A Qwen2 of three layers with grouped heads."""
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
"""Vision half of a tower that makes 4 x 4 patches."""


def text_config(width: int, mlp_width: int, **more: int) -> dict[str, Any]:
    """Return the config of a tower's text half, two layers deep, for a byte tokenizer.

    Args:
        width: Channels.
        mlp_width: Channels inside the MLP.
        more: Further fields, or others in place of these.
    """
    sizes = {"hidden_size": width, "intermediate_size": mlp_width, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "vocab_size": 264, "max_position_embeddings": 32}
    return sizes | more


SPECIAL_IDS = {"bos_token_id": 257, "eos_token_id": 258, "pad_token_id": 256}
"""Ids of the control tokens of a framed byte tokenizer, as a text config names them."""


def write_byte_tokenizer(
    folder: Path, control: Sequence[str], *, framed: bool = False, opened: bool = False
) -> None:
    """Write a tokenizer of 256 bytes and some control tokens behind them; no file is fetched.

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
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": control[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def write_siglip(folder: Path, *, seed: int) -> None:
    """Write a random SigLIP with its text side, as its authors publish one.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    text = text_config(32, 40, projection_size=32, **SPECIAL_IDS)
    tower = Tower(TowerConfig(kind="siglip", vision=VISION, text=text, vector_dim=32))
    randomise(tower, seed=seed)
    write_byte_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), framed=True)
    save(tower, folder, (("**", "**"),))
    write_json(folder / "config.json", tower.config.to_json())
    write_json(folder / "preprocessor_config.json", pixels_of(tower.config).to_json())


def randomise(net: nn.Module, *, seed: int) -> None:
    """Fill a net with random weights of a usable scale.

    Norms are ones and biases zeros; the rows of a matrix are scaled so that products keep their
    size.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(net.named_parameters()):
            if parameter.dim() > 1:
                scale = 1.0 if "embed" in name else parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=random) * scale)
            else:
                is_gain = name.endswith(("weight", "gain", "scale"))
                parameter.fill_(1.0 if is_gain else 0.0)
