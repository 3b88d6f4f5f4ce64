"""Sizes and switches of a decoder stack, and the JSON they are released in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LLAMA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}
"""Fields that a LLaMA config leaves out where they equal its class's defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Sizes and switches of a decoder stack."""

    vocab_size: int
    width: int
    mlp_width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    qkv_bias: bool = False
    is_tied: bool = False
    """Whether the head is the embedding table."""
    has_vst: bool = False
    """Whether summary tokens have projections and an embedding of their own."""
    max_positions: int = 32_768
    has_qk_norm: bool = False
    """Whether every head of q and k is normed before rotary embedding, as in Qwen3."""
    rope_sections: tuple[int, int, int] | None = None
    """Channel pairs that turn by time, row and column of a grid (interleaved M-RoPE); `None` where
    one position turns all of them."""
    n_experts: int = 0
    """MLPs of a layer among which a router chooses for each token; 0 where there is one for all."""
    experts_per_token: int = 2

    def __post_init__(self) -> None:
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads must be a multiple of n_kv_heads, not {self.n_heads}/{self.n_kv_heads}"
            )
        if self.n_experts and not 1 <= self.experts_per_token <= self.n_experts:
            raise ValueError(
                f"experts_per_token must lie in 1..{self.n_experts}, not {self.experts_per_token}"
            )
        if self.rope_sections is not None and 2 * sum(self.rope_sections) != self.head_dim:
            raise ValueError(
                f"rope_sections must sum up to half of head_dim {self.head_dim}, "
                f"not {self.rope_sections}"
            )

    @property
    def expert_parameters(self) -> int:
        """Weights of all experts of all layers."""
        return self.n_layers * self.n_experts * 3 * self.width * self.mlp_width

    @property
    def layer_parameters(self) -> int:
        """Weights in the matrices of all layers, experts included, a router left out."""
        attention = 2 * self.width * self.head_dim * (self.n_heads + self.n_kv_heads)
        mlp = 0 if self.n_experts else 3 * self.width * self.mlp_width
        return self.n_layers * (attention + mlp) + self.expert_parameters

    @property
    def n_groups(self) -> int:
        """Query heads for each key and value head."""
        return self.n_heads // self.n_kv_heads

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a `config.json` that `from_json` reads, but for the `model_type`."""
        sections = self.rope_sections
        experts = {
            "num_local_experts": self.n_experts,
            "num_experts_per_tok": self.experts_per_token,
        }
        scaling = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": sections}
        return {
            **({} if sections is None else {"rope_scaling": scaling}),
            **(experts if self.n_experts else {}),
            "vocab_size": self.vocab_size,
            "hidden_size": self.width,
            "intermediate_size": self.mlp_width,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "attention_bias": self.qkv_bias,
            "tie_word_embeddings": self.is_tied,
            "use_sliding_window": False,
            "max_position_embeddings": self.max_positions,
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any], *, has_vst: bool = False) -> "DecoderConfig":
        """Read the fields of a released `config.json` (Qwen2, LLaMA, Mistral, Mixtral spellings).

        Raises:
            ValueError: The config asks for scaled rotary embedding or one in blocks of channels.
        """
        rope = config.get("rope_parameters") or {}
        scaling = config.get("rope_scaling") or rope
        if scaling.get("rope_type", scaling.get("type", "default")) != "default":
            raise ValueError(f"rope_scaling is not supported: {scaling}")
        width, n_heads = config["hidden_size"], config["num_attention_heads"]
        kind = str(config.get("model_type", "")).lower()
        is_qwen3 = kind.startswith("qwen3")
        # Qwen2 has a bias on q, k and v, and its configs do not say so.
        has_bias = "qwen" in kind and not is_qwen3
        return cls(
            vocab_size=config["vocab_size"],
            width=width,
            mlp_width=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=n_heads,
            n_kv_heads=config.get("num_key_value_heads") or n_heads,
            head_dim=config.get("head_dim") or width // n_heads,
            rope_theta=float(config.get("rope_theta") or rope.get("rope_theta") or 10_000.0),
            norm_eps=config.get("rms_norm_eps", 1e-6),
            qkv_bias=bool(config.get("attention_bias", has_bias)),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            has_vst=has_vst,
            max_positions=config.get("max_position_embeddings", 32_768),
            has_qk_norm=is_qwen3,
            rope_sections=_sections(scaling),
            n_experts=config.get("num_local_experts") or 0,
            experts_per_token=config.get("num_experts_per_tok") or 2,
        )


def _sections(scaling: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Read the sections of a multimodal rotary embedding; `None` where there is none."""
    if "mrope_section" not in scaling:
        return None
    if not scaling.get("mrope_interleaved"):
        raise ValueError(f"of mrope_section only the interleaved form is supported: {scaling}")
    time, row, column = scaling["mrope_section"]
    return time, row, column
