"""Qwen3-VL's configs as released, and checkpoints that do not fit."""

import json
from pathlib import Path

import pytest
import torch

from engine.errors import WeightsError
from engine.models.layers.rotary import grid_rope_factors, rope_factors
from engine.models.qwen3_vl.model import RELEASES, VARIANTS, write_tiny
from engine.models.qwen3_vl.net import Qwen3VlNet, read
from engine.models.registry import load_model
from tests.support.released_layouts import edit_config

CPU = torch.device("cpu")
RELEASED = {
    "architectures": ["Qwen3VLForConditionalGeneration"],
    "image_token_id": 151655,
    "model_type": "qwen3_vl",
    "text_config": {
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "max_position_embeddings": 262144,
        "model_type": "qwen3_vl_text",
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06,
        "rope_scaling": {
            "mrope_interleaved": True,
            "mrope_section": [24, 20, 20],
            "rope_type": "default",
        },
        "rope_theta": 5000000,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    },
    "tie_word_embeddings": True,
    "video_token_id": 151656,
    "vision_config": {
        "deepstack_visual_indexes": [5, 11, 17],
        "depth": 24,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 1024,
        "in_channels": 3,
        "intermediate_size": 4096,
        "model_type": "qwen3_vl",
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": 2560,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
}
"""The 4B's config."""
PIXELS = {
    "size": {"longest_edge": 25165824, "shortest_edge": 4096},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "video_processor_type": "Qwen3VLVideoProcessor",
}


def test_the_released_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RELEASED))
    (tmp_path / "video_preprocessor_config.json").write_text(json.dumps(PIXELS))
    assert read(tmp_path) == VARIANTS["4b"]


@pytest.mark.parametrize(("variant", "millions"), [("2b", 2127), ("4b", 4437), ("8b", 8767)])
def test_nets_have_the_published_number_of_parameters(variant: str, millions: int) -> None:
    with torch.device("meta"):
        net = Qwen3VlNet(VARIANTS[variant])
    assert sum(weight.numel() for weight in net.parameters()) // 10**6 == millions


def test_releases_are_named_with_their_licence() -> None:
    names = [release.repository for release in RELEASES]
    assert names == [f"Qwen/Qwen3-VL-{size}-Instruct" for size in ("2B", "4B", "8B")]
    assert {release.licence for release in RELEASES} == {"Apache-2.0"}


@pytest.mark.parametrize(
    ("part", "fields", "reason"),
    [
        ("text_config", {"model_type": "qwen2"}, "Qwen3"),
        ("text_config", {"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling"),
        ("text_config", {"rope_scaling": {"mrope_section": [2, 2, 2]}}, "interleaved"),
        ("vision_config", {"out_hidden_size": 40}, "out_hidden_size"),
        ("vision_config", {"deepstack_visual_indexes": [0, 3]}, "deepstack_visual_indexes"),
        ("vision_config", {"temporal_patch_size": 1}, "frames a patch"),
    ],
)
def test_a_config_of_another_kind_is_refused(
    tmp_path: Path, part: str, fields: dict[str, object], reason: str
) -> None:
    write_tiny(tmp_path / "tiny")
    config = json.loads((tmp_path / "tiny" / "config.json").read_text())
    edit_config(tmp_path / "tiny", **{part: config[part] | fields})
    with pytest.raises(WeightsError, match=reason):
        load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32)


def test_equal_positions_turn_as_a_single_one() -> None:
    positions = torch.arange(40)
    turned = grid_rope_factors(positions.expand(3, -1), 16, 1e4, (4, 2, 2))
    plain = rope_factors(positions, 16, 1e4)
    assert torch.equal(turned.cos, plain.cos)
    assert torch.equal(turned.sin, plain.sin)
