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
KINDS = frozenset(
    {"", "llama", "llava_qwen", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_vl_text"}
)
"""Values of `model_type` that `Decoder` computes; flat configs of whole models are among them."""
ACTIVATIONS = ("silu", "swish")
"""Two names of the one that all of them have."""
SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
"""Fields without which there is no decoder."""
LEFT_OUT: dict[str, dict[str, float]] = {
    "mixtral": {"rope_theta": 1e6, "rms_norm_eps": 1e-5},
    "qwen3_vl_text": {"rope_theta": 5e5},
}
"""What transformers takes for fields that a config of these kinds leaves out, where that is not
what it takes for LLaMA."""


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
            "sliding_window": None,
            "max_position_embeddings": self.max_positions,
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any], *, has_vst: bool = False) -> "DecoderConfig":
        """Read the fields of a released `config.json` (Qwen2, LLaMA, Mistral, Mixtral spellings).

        Raises:
            ValueError: The config asks for what `Decoder` does not compute.
        """
        # As transformers reads them: the older name comes first, then what stands within.
        rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
        kind = str(config.get("model_type") or "").lower()
        _refuse_others(config, kind, rope)
        width, n_heads = config["hidden_size"], config["num_attention_heads"]
        is_qwen3 = kind.startswith("qwen3")
        # Qwen2 has a bias on q, k and v, and its configs do not say so.
        has_bias = "qwen" in kind and not is_qwen3
        left_out = LEFT_OUT.get(kind.removeprefix("videollama2_"), {})
        theta = rope.get("rope_theta") or config.get("rope_theta") or left_out.get("rope_theta")
        return cls(
            vocab_size=config["vocab_size"],
            width=width,
            mlp_width=config["intermediate_size"],
            n_layers=config["num_hidden_layers"],
            n_heads=n_heads,
            n_kv_heads=config.get("num_key_value_heads") or n_heads,
            head_dim=config.get("head_dim") or width // n_heads,
            rope_theta=float(theta or 10_000.0),
            norm_eps=config.get("rms_norm_eps", left_out.get("rms_norm_eps", 1e-6)),
            qkv_bias=bool(config.get("attention_bias", has_bias)),
            is_tied=bool(config.get("tie_word_embeddings", False)),
            has_vst=has_vst,
            max_positions=config.get("max_position_embeddings", 32_768),
            has_qk_norm=is_qwen3,
            rope_sections=_sections(rope),
            n_experts=config.get("num_local_experts") or 0,
            experts_per_token=config.get("num_experts_per_tok") or 2,
        )


def _refuse_others(config: Mapping[str, Any], kind: str, rope: Mapping[str, Any]) -> None:
    """Refuse a config by its first field that would change what is computed."""
    if kind not in KINDS and not kind.startswith("videollama2"):
        raise ValueError(f"no decoder of model_type {kind!r} is known")
    for name in SIZES:
        if not isinstance(config[name], int) or config[name] < 1:
            raise ValueError(f"{name} must be a whole number above 0, not {config[name]!r}")
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ValueError(f"rope_scaling is not supported: {rope}")
    if any(isinstance(value, Mapping) for value in rope.values()):
        raise ValueError(f"rope_parameters of kinds of layers are not supported: {rope}")
    for fields in (config, rope):
        if fields.get("partial_rotary_factor", 1.0) not in (1.0, None):
            raise ValueError(
                f"partial_rotary_factor must be 1, not {fields['partial_rotary_factor']}"
            )
    if (activation := config.get("hidden_act", "silu")) not in ACTIVATIONS:
        raise ValueError(f"hidden_act must be silu, not {activation!r}")
    _refuse_windows(config, kind)


def _refuse_windows(config: Mapping[str, Any], kind: str) -> None:
    """Refuse layers that see but the last tokens, where they would not see all there can be."""
    kinds = set(config.get("layer_types") or ())
    if kinds - {"full_attention"}:
        raise ValueError(f"layer_types must be full_attention, not {', '.join(sorted(kinds))}")
    if config.get("use_sliding_window"):
        raise ValueError("use_sliding_window must be false: every layer sees all tokens here")
    # Qwen's configs name a window that the switch leaves unused.
    window = None if "qwen" in kind else config.get("sliding_window")
    if window is not None and window < config.get("max_position_embeddings", window + 1):
        raise ValueError(f"sliding_window must be null, not {window}: every layer sees all tokens")


def _sections(scaling: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Read the sections of a multimodal rotary embedding; `None` where there is none."""
    if "mrope_section" not in scaling:
        return None
    if not scaling.get("mrope_interleaved"):
        raise ValueError(f"of mrope_section only the interleaved form is supported: {scaling}")
    time, row, column = scaling["mrope_section"]
    return time, row, column
