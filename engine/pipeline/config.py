"""Configuration of an engine: which model, how hard it compresses, how it retrieves."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from engine.cache.budget import CacheConfig
from engine.errors import InputRefusedError
from engine.media.sample import SamplingConfig
from engine.models.layers.expert_budget import ExpertBudget
from engine.records import LatentKind, WeightFormat
from engine.vector_rows import VectorTables

PAST_CHUNKS = 8
"""Chunks a new one looks back on unless told otherwise: a view of 32 latents gave the same
answers as all of them in our study of small models, and the cost of a chunk stays flat."""

DEFAULT_INDEX = "segments"
"""Backend of every index unless a setting names another: a module of `engine/index`."""

SignalsUsed = Literal["vectors", "attention", "both"]
"""What ranks chunks: frame vectors, the question's attention to their latents, or the attention
among those that the vectors propose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Choice of a checkpoint, where it runs, and how hard it compresses."""

    folder: Path
    device: str = "auto"
    """`auto` takes an accelerator when there is one; else a name that torch knows."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` takes what is fast on the device; see `models/precision.py`."""
    adapter_alpha: float | None = None
    """Strength of the checkpoint's adapters, for families that fuse them at load time; `None`
    takes the released one."""
    latent_kind: LatentKind | None = None
    """What is kept of a chunk, where the family leaves the choice; `None` takes its own."""
    experts: ExpertBudget | None = None
    """Bytes of a mixture's experts that stay near; `None` holds all of them on the device."""
    weights: WeightFormat = "native"
    """How the matrices of the decoder's layers are held."""
    compression_ratio: int | None = None
    """Visual tokens per latent; `None` takes the checkpoint's own."""
    max_past_latents: int | Literal["auto"] | None = "auto"
    """Latents a new chunk looks back on; `auto` is eight chunks' worth, `None` all of them, as
    upstream does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalConfig:
    """Number of chunks that answer a question, and the support from which a hit counts.

    Support is logistic: 1 / (1 + exp(-(bias + the features times their weights))). A checkpoint
    may bring measured values (`retrieval.json`, from `engine.evaluation.calibration`); the
    defaults here have to do without knowing how large its cosines are.
    """

    signals: SignalsUsed = "both"
    """Signals that rank chunks; a family without a joint space has attention alone."""
    top_chunks: int = 2
    """Chunks recalled for each thing that a question names."""
    overview_chunks: int = 8
    """Chunks taken evenly for a question about the whole, beside the top ones."""
    candidates: int = 32
    """Chunks that the vectors propose and the question's attention then weighs."""
    bias: float = 0.0
    """0 puts the threshold at what the best of so many unrelated frames reaches by chance."""
    per_cosine: float = 0.0
    """Weight of the cosine of the phrase and the chunk's best frame. 0 by default, because the
    same cosine is a match in one checkpoint and noise in the next."""
    per_deviation: float = 2.0
    """Weight of how far that stands out of its video, beyond the best of chance, in standard
    deviations: one deviation beyond chance has a support of 0.88."""
    per_attention: float = 0.5
    """Weight of the question's attention to the chunk, in deviations among the candidates: a
    quarter of the vectors' weight, enough to order hits that these hold alike. 0 saves the pass
    that measures it."""

    def __post_init__(self) -> None:
        if self.signals not in get_args(SignalsUsed):
            allowed = ", ".join(get_args(SignalsUsed))
            raise ValueError(f"signals must be one of {allowed}, not {self.signals!r}")
        for name in ("top_chunks", "overview_chunks", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Everything an engine is assembled from."""

    model: ModelConfig
    latents_folder: Path
    index_folder: Path
    index_backend: str = DEFAULT_INDEX
    vector_tables: VectorTables | None = None
    """The database, for a backend that keeps vectors in one."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    retrieval: RetrievalConfig | None = None
    """`None` takes what was calibrated for the checkpoint (`retrieval.json` beside its weights),
    else the defaults."""
    durable: bool = True
    """Whether a chunk waits for the disk; only scratch caches do without."""


def read_calibration(folder: Path) -> RetrievalConfig:
    """Read what was measured for a checkpoint; the defaults where nothing was.

    Raises:
        InputRefusedError: Its file holds something else.
    """
    path = folder / "retrieval.json"
    if not path.is_file():
        return RetrievalConfig()
    try:
        return RetrievalConfig(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        known = ", ".join(item.name for item in fields(RetrievalConfig))
        raise InputRefusedError(f"{path}: {error}", hint=f"it may hold {known}") from error
