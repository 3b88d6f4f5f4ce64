"""Configs of decoders: read as transformers reads them, or refused where more would change."""

from typing import Any

import pytest
from transformers import LlamaConfig, MistralConfig, MixtralConfig, Qwen2Config, Qwen3VLTextConfig

from engine.models.layers.decoder_config import DecoderConfig

SIZES = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
KINDS = (LlamaConfig, MistralConfig, MixtralConfig, Qwen2Config, Qwen3VLTextConfig)
ROPE = {"rope_type": "default"}
SECTIONS = {"mrope_interleaved": True, "mrope_section": [2, 2, 2]}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.model_type))
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rope_theta": 7e4},
        {"rope_parameters": ROPE | {"rope_theta": 8e4}},
        {"rope_scaling": ROPE | {"rope_theta": 9e4}},
        {"rope_scaling": ROPE, "rope_theta": 7e4},
        {"rope_theta": 7e4, "rope_parameters": ROPE | {"rope_theta": 8e4}},
        {"rope_theta": 7e4, "rope_parameters": ROPE | {"rope_theta": 8e4},
         "rope_scaling": ROPE},
    ],
)  # fmt: skip
def test_speed_of_rotation_and_eps_are_theirs(kind: Any, fields: dict[str, Any]) -> None:
    theirs = kind(**SIZES, **{name: value.copy() if isinstance(value, dict) else value
                              for name, value in fields.items()})  # fmt: skip
    ours = DecoderConfig.from_json({"model_type": kind.model_type, **SIZES, **fields})
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]
    assert ours.norm_eps == theirs.rms_norm_eps


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.model_type))
def test_whole_configs_of_theirs_are_read(kind: Any) -> None:
    window = {"sliding_window": None} if kind is MistralConfig else {}
    theirs = kind(**SIZES, **window)
    ours = DecoderConfig.from_json(theirs.to_dict())
    assert (ours.width, ours.n_kv_heads, ours.max_positions) == (48, 2, 512)
    assert ours.rope_theta == theirs.rope_parameters["rope_theta"]


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act must be silu, not 'gelu'"),
        ("mistral", {"sliding_window": 511}, "sliding_window must be null, not 511"),
        ("mixtral", {"sliding_window": 100}, "sliding_window must be null, not 100"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 100}, "use_sliding_window"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "llama3"),
        ("llama", {"rope_parameters": {"full_attention": ROPE}}, "kinds of layers"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor must be 1, not 0.5"),
        ("llama", {"rope_parameters": ROPE | {"partial_rotary_factor": 0.25}}, "not 0.25"),
        ("qwen3_vl_text", {"rope_scaling": {"mrope_section": [2, 2, 2]}}, "interleaved"),
        ("qwen3_vl_text", {"rope_scaling": SECTIONS}, "rope_sections must sum up"),
        ("granite", {}, "model_type 'granite'"),
        ("smollm3", {}, "model_type 'smollm3'"),
        ("gemma2", {}, "model_type 'gemma2'"),
    ],
)
def test_what_would_change_the_result_is_refused(
    kind: str, fields: dict[str, Any], reason: str
) -> None:
    DecoderConfig.from_json(SIZES)
    with pytest.raises(ValueError, match=reason):
        DecoderConfig.from_json({"model_type": kind, "head_dim": 8, **SIZES, **fields})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("mistral", {"sliding_window": 512}),
        ("mistral", {"sliding_window": None}),
        ("qwen2", {"use_sliding_window": False, "sliding_window": 100, "max_window_layers": 1}),
        ("qwen2", {"layer_types": ["full_attention", "full_attention"]}),
        ("videollama2_qwen2", {"sliding_window": 100}),
    ],
)
def test_windows_that_hide_nothing_are_no_matter(kind: str, fields: dict[str, Any]) -> None:
    assert DecoderConfig.from_json({"model_type": kind, **SIZES, **fields}).n_layers == 2


def test_what_is_written_is_read_back() -> None:
    config = DecoderConfig.from_json(SIZES | {"rope_theta": 5e5, "attention_bias": True})
    assert DecoderConfig.from_json(config.to_json()) == config
