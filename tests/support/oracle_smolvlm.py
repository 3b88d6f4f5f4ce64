"""SmolVLM as transformers has it: tiny random checkpoints in the released layout, and prompts."""

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm import processing_smolvlm as theirs

from engine.models.layers.number_words import number_words
from engine.models.smolvlm.model import TINY_CONTROL
from engine.models.tiny import write_byte_tokenizer

IMAGE_ID = 257


def save_random(folder: Path, seed: int) -> Any:
    """A random model of theirs, saved by them with a config that a seed chooses."""
    draw = random.Random(seed)
    patch, shuffle = draw.choice([4, 6, 8]), draw.choice([1, 2, 3])
    # Released frames of 384 pixels are cut into 27 patches of 14 a side, and 6 pixels are left.
    side = patch * shuffle * draw.choice([1, 2, 3]) + draw.choice([0, 0, patch - 1])
    n_kv_heads, head_dim = draw.choice([1, 2, 3]), draw.choice([8, 16])
    n_heads = n_kv_heads * draw.choice([1, 2, 3])
    config = SmolVLMConfig(
        text_config={
            "model_type": draw.choice(["llama", "llama", "qwen3"]),
            "vocab_size": 264,
            "hidden_size": n_heads * draw.choice([8, 12]),
            "intermediate_size": draw.choice([40, 64]),
            "num_hidden_layers": draw.choice([1, 2, 4]),
            "num_attention_heads": n_heads,
            "num_key_value_heads": n_kv_heads,
            "head_dim": head_dim,
            "rms_norm_eps": draw.choice([1e-5, 1e-6]),
            "rope_parameters": {"rope_type": "default", "rope_theta": draw.choice([1e4, 1e5])},
            "max_position_embeddings": 4096,
        },
        vision_config={
            "hidden_size": draw.choice([16, 32]),
            "intermediate_size": 40,
            "num_hidden_layers": draw.choice([1, 2, 3]),
            "num_attention_heads": draw.choice([2, 4]),
            "image_size": side,
            "patch_size": patch,
            "hidden_act": draw.choice(["gelu_pytorch_tanh", "gelu", "quick_gelu"]),
        },
        scale_factor=shuffle,
        image_token_id=IMAGE_ID,
        tie_word_embeddings=draw.random() < 0.3,
        pad_token_id=256,
    )
    torch.manual_seed(seed)
    model = SmolVLMForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    pixels = {
        "size": {"longest_edge": draw.choice([side, 2 * side, side + 7])},
        "max_image_size": {"longest_edge": side},
        "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": side}},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": draw.choice([1, 1, 2, 3]),
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    write_byte_tokenizer(folder, TINY_CONTROL)
    return model


def prompt_ids(
    folder: Path,
    turns: Sequence[str],
    times_s: Sequence[int],
    duration_s: float,
    tokens_per_frame: int,
) -> list[int]:
    """Ids of a conversation as their processor and their chat template write it.

    Args:
        folder: Of the tokenizer.
        turns: Question, answer, ..., question.
        times_s: Whole seconds at which frames were seen; empty without video.
        duration_s: Of the video.
        tokens_per_frame: Placeholders of each.
    """
    first: list[dict[str, str]] = [{"type": "text", "text": turns[0]}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "video"}, *first] if times_s else first}
    ]
    for number, text in enumerate(turns[1:]):
        role = "user" if number % 2 else "assistant"
        messages.append({"role": role, "content": [{"type": "text", "text": text}]})
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    written = tokenizer.apply_chat_template(
        messages,
        chat_template=theirs.DEFAULT_CHAT_TEMPLATE,
        add_generation_prompt=True,
        tokenize=False,
    )
    # The package that spells numbers for them is none of ours; what it spells is tested apart.
    theirs.num2words = number_words
    if times_s:
        processor = SimpleNamespace(
            image_seq_len=tokens_per_frame,
            image_token="<image>",
            fake_image_token="<fake_token_around_image>",
            global_image_token="<global-img>",
        )
        metadata = SimpleNamespace(fps=1.0, timestamps=list(times_s), duration=duration_s)
        frames = SimpleNamespace(shape=(1, len(times_s)))
        video = theirs.SmolVLMProcessor.replace_video_token(
            processor, {"pixel_values": frames, "video_metadata": [metadata]}, 0
        )
        assert str(timedelta(seconds=int(duration_s))) in video
        written = written.replace("<video>", video)
    ids: list[int] = tokenizer.encode(written, add_special_tokens=False)
    return ids
