"""SmolVLM2's configs as released, what a chunk keeps, and checkpoints that do not fit."""

import json
from pathlib import Path

import pytest
import torch

from engine.errors import WeightsError
from engine.models.registry import load_model
from engine.models.smolvlm.model import RELEASES, VARIANTS, write_tiny
from engine.models.smolvlm.net import SmolVlmNet, read
from tests.support.released_layouts import edit_config

CPU = torch.device("cpu")
RELEASED = {
    "architectures": ["SmolVLMForConditionalGeneration"],
    "image_token_id": 49190,
    "model_type": "smolvlm",
    "pad_token_id": 128002,
    "scale_factor": 4,
    "text_config": {
        "architectures": ["VLlama3ForCausalLM"],
        "head_dim": 64,
        "hidden_size": 960,
        "intermediate_size": 2560,
        "max_position_embeddings": 8192,
        "model_type": "llama",
        "num_attention_heads": 15,
        "num_hidden_layers": 32,
        "num_key_value_heads": 5,
        "rms_norm_eps": 1e-05,
        "rope_theta": 100000,
        "vocab_size": 49280,
    },
    "tie_word_embeddings": False,
    "vision_config": {
        "hidden_size": 768,
        "image_size": 512,
        "max_image_size": {"longest_edge": 512},
        "model_type": "smolvlm_vision",
        "num_attention_heads": 12,
        "patch_size": 16,
        "size": {"longest_edge": 2048},
        "use_base_siglip": False,
    },
}
"""The fields of the 500M's config that say anything; those left out are its class's defaults."""
PIXELS = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "max_image_size": {"longest_edge": 512},
    "resample": 1,
    "size": {"longest_edge": 2048},
    "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}},
}


def test_the_released_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(RELEASED))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    config, expected = read(tmp_path), VARIANTS["500m"]
    assert config.decoder == expected.decoder
    assert config.frames == expected.frames
    assert (config.shuffle, config.image_id) == (expected.shuffle, expected.image_id)
    read_fields = {key: config.tower.vision[key] for key in expected.tower.vision}
    assert read_fields == dict(expected.tower.vision)
    assert config.tokens_per_frame == 64


@pytest.mark.parametrize(("variant", "millions"), [("256m", 256), ("500m", 507), ("2_2b", 2246)])
def test_nets_have_the_published_number_of_parameters(variant: str, millions: int) -> None:
    with torch.device("meta"):
        net = SmolVlmNet(VARIANTS[variant])
    assert sum(weight.numel() for weight in net.parameters()) // 10**6 == millions


def test_releases_are_named_with_their_licence() -> None:
    names = [release.repository for release in RELEASES]
    assert names == [
        "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    ]
    assert {release.licence for release in RELEASES} == {"Apache-2.0"}
    assert [release.card.tokens_per_frame for release in RELEASES] == [64, 64, 81]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"scale_factor": 3}, "scale_factor"),
        ({"text_config": {"rope_scaling": {"rope_type": "yarn"}}}, "rope_scaling"),
        ({"vision_config": {"image_size": 40, "patch_size": 8}}, "pixels"),
    ],
)
def test_a_config_of_another_kind_is_refused(
    tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    write_tiny(tmp_path / "tiny")
    edit_config(tmp_path / "tiny", **fields)
    with pytest.raises(WeightsError, match=reason):
        load_model(tmp_path / "tiny", device=CPU, dtype=torch.float32)
