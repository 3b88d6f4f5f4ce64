"""Tiny random image-text checkpoints in the released layout, made by transformers itself."""

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
from tokenizers import models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
VISION = SIZES | {"num_attention_heads": 4, "image_size": 24, "patch_size": 8}
TEXT = SIZES | {"num_attention_heads": 2, "vocab_size": 12, "max_position_embeddings": 8}
WORDS = ["<pad>", "<s>", "a", "</s>", "red", "dog", "car", "white", "van", "in", "street", "the"]


def save_towers(kind: str, folder: Path) -> Any:
    """A tiny random model of theirs, saved by them, with a tokenizer of a few words."""
    torch.manual_seed(1)
    text = TEXT | {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    if kind == "clip":
        theirs = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=20))
    else:
        text |= {"projection_size": 32}
        theirs = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.eval().save_pretrained(folder)
    pixels = {"size": {"height": 24, "width": 24}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    vocabulary = {word: idx for idx, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    single = "<s> $A </s>" if kind == "clip" else "$A </s>"
    tokenizer.post_processor = TemplateProcessing(
        single=single, special_tokens=[("<s>", 1), ("</s>", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    return theirs
