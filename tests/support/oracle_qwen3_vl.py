"""Qwen3-VL as transformers has it: tiny random checkpoints in the released layout, and prompts."""

import json
import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers.models.qwen3_vl.processing_qwen3_vl as theirs
import transformers.models.qwen3_vl.video_processing_qwen3_vl as their_frames
from torch import Tensor
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from engine.models.qwen3_vl.frames import fitted_size
from engine.models.qwen3_vl.model import TINY_CONTROL, Qwen3Vl
from engine.models.tiny import write_byte_tokenizer

VIDEO_ID = 256 + TINY_CONTROL.index("<|video_pad|>")
IMAGE_ID = 263
SECTIONS = ((2, 1, 1), (2, 2, 2), (4, 2, 2), (3, 3, 2), (1, 3, 3), (6, 1, 1), (2, 0, 2))


def save_random(folder: Path, seed: int) -> Any:
    """A random model of theirs, saved by them with a config that a seed chooses."""
    draw = random.Random(seed)
    merge, patch = draw.choice([1, 2, 3]), draw.choice([2, 4])
    sections = draw.choice(SECTIONS)
    n_kv_heads, n_layers = draw.choice([1, 2, 3]), draw.choice([1, 2, 3, 4])
    depth, heads, width = draw.choice([1, 2, 4]), draw.choice([1, 2, 3]), draw.choice([24, 40])
    n_deep = draw.randint(0, min(depth, n_layers))
    is_tied = draw.random() < 0.5
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": list(sections)}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": 264,
            "hidden_size": width,
            "intermediate_size": draw.choice([40, 64]),
            "num_hidden_layers": n_layers,
            "num_attention_heads": n_kv_heads * draw.choice([1, 2, 3]),
            "num_key_value_heads": n_kv_heads,
            "head_dim": 2 * sum(sections),
            "rms_norm_eps": draw.choice([1e-5, 1e-6]),
            **draw.choice(
                (
                    {"rope_parameters": rope | {"rope_theta": 1e4}},
                    {"rope_scaling": rope, "rope_theta": 5e6},
                    {"rope_scaling": rope | {"rope_theta": 5e6}, "rope_theta": 7e4},
                )
            ),
            "max_position_embeddings": 4096,
            "tie_word_embeddings": is_tied,
        },
        vision_config={
            "depth": depth,
            "hidden_size": 8 * heads * draw.choice([1, 2]),
            "intermediate_size": 40,
            "num_heads": heads,
            "patch_size": patch,
            "spatial_merge_size": merge,
            "temporal_patch_size": 2,
            "out_hidden_size": width,
            "num_position_embeddings": draw.choice([4, 6, 9]) ** 2,
            "deepstack_visual_indexes": draw.sample(range(depth), n_deep),
            "hidden_act": draw.choice(["gelu_pytorch_tanh", "gelu", "quick_gelu"]),
        },
        tie_word_embeddings=is_tied,
        video_token_id=VIDEO_ID,
        image_token_id=IMAGE_ID,
    )
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    share = 2 * draw.randint(3, 9) * (patch * merge) ** 2
    size = {"longest_edge": 384 * share, "shortest_edge": draw.choice([64, 4096])}
    pixels = {"size": size, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(pixels))
    write_byte_tokenizer(folder, TINY_CONTROL)
    return model


def grid_of(model: Qwen3Vl, pixels: Tensor) -> tuple[int, int]:
    """Rows and columns of tokens of a frame."""
    config = model.net.config.frames
    height, width = fitted_size(pixels.shape[2], pixels.shape[3], config)
    return height // config.factor_px, width // config.factor_px


def patchify(frames: Tensor, patch: int, merge: int) -> tuple[Tensor, Tensor]:
    """Prepared frames as their processor cuts them, and the grid of the video."""
    patches, *grid = their_frames.Qwen3VLVideoProcessor.patchify(
        None, frames[None], patch_size=patch, merge_size=merge, temporal_patch_size=2
    )
    return patches[0], torch.tensor([grid])


def video_text(times_s: Sequence[float], grid: tuple[int, int]) -> str:
    """What their processor writes for a video of one frame a second and merged tokens."""
    processor = SimpleNamespace(
        video_processor=SimpleNamespace(merge_size=1, temporal_patch_size=2),
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
        video_token="<|video_pad|>",
        _calculate_timestamps=partial(theirs.Qwen3VLProcessor._calculate_timestamps, None),
    )
    metadata = SimpleNamespace(fps=4.0, frames_indices=[round(4 * time) for time in times_s])
    inputs = {
        "video_grid_thw": torch.tensor([[-(-len(times_s) // 2), *grid]]),
        "video_metadata": [metadata],
    }
    text: str = theirs.Qwen3VLProcessor.replace_video_token(processor, inputs, 0)
    return text
