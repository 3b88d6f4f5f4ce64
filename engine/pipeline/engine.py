"""Configuration to a running engine: the one place that picks device, family, tiers and index."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import torch

from engine import index, plugins
from engine.cache.budget import CacheConfig
from engine.cache.disk import DiskTier, PipelineInfo
from engine.cache.tiered import LatentCache
from engine.errors import CorruptLatentsError, InputRefusedError, MissingCapabilityError
from engine.media.sample import THINNING_VERSION, SamplingConfig
from engine.models.registry import load_model
from engine.pipeline.scoring import RetrievalConfig
from engine.protocols import VectorIndex, VideoModel
from engine.records import Fingerprint, ModelCard, VideoId

PAST_CHUNKS = 8
"""Chunks a new one looks back on unless told otherwise: a view of 32 latents gave the same
answers as all of them in our study of small models, and the cost of a chunk stays flat."""

_FRESH_NS = 2_000_000_000
"""A folder that changed this recently may change again within one tick of its clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which checkpoint runs, where, and how hard it compresses."""

    folder: Path
    device: str = "auto"
    """`auto` takes an accelerator when there is one; else a name that torch knows."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is float32 on the CPU and bfloat16 elsewhere."""
    adapter_alpha: float | None = None
    """Strength of the checkpoint's adapters, for families that fuse them at load time; `None`
    takes the released one."""
    compression_ratio: int | None = None
    """Visual tokens per latent; `None` takes the checkpoint's own."""
    max_past_latents: int | Literal["auto"] | None = "auto"
    """Latents a new chunk looks back on; `auto` is eight chunks' worth, `None` all of them, as
    upstream does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Everything an engine is made from."""

    model: ModelConfig
    latents_folder: Path
    index_folder: Path
    index_backend: str = "faiss_flat"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
    retrieval: RetrievalConfig | None = None
    """`None` takes what was calibrated for the checkpoint (`retrieval.json` beside its weights),
    else the defaults."""
    durable: bool = True
    """Whether a chunk waits for the disk; only throw-away caches do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A model, its memory and its index. Safe to ask from one thread while another ingests."""

    config: EngineConfig
    model: VideoModel
    cache: LatentCache
    index: VectorIndex
    retrieval: RetrievalConfig
    sampling: SamplingConfig
    """As configured, in groups of the model's chunks: what a frame reader must be given."""
    fingerprint: Fingerprint
    """Of the whole pipeline; latents of two pipelines never mix."""
    compression_ratio: int
    max_past_latents: int | None
    _seen: dict[VideoId, int] = field(default_factory=dict, repr=False)

    @property
    def latents_per_chunk(self) -> int:
        """Latents of one full chunk at this engine's ratio."""
        return self.model.card.latents_at(self.compression_ratio)

    @property
    def index_path(self) -> Path:
        """Where the index of this pipeline is saved."""
        return self.config.index_folder / f"{self.fingerprint}.index"

    def attach(self, video: VideoId, fingerprint: Fingerprint) -> bool:
        """Read a video where the pipeline of `fingerprint` left it.

        Returns:
            Whether that can be done: it was the same model.
        """
        if self.cache.disk.home(video) == fingerprint:
            return True
        adopted = self.cache.attach(video, fingerprint)
        self.index.remove(video)
        self._seen.pop(video, None)
        return adopted

    def save_index(self) -> None:
        """Save the index, so that the next process opens one file instead of one per chunk."""
        self.index.save(self.index_path, self.fingerprint)

    def forget(self, video: VideoId) -> None:
        """Delete a video's latents and vectors."""
        self.cache.forget(video)
        self.index.remove(video)
        self._seen.pop(video, None)
        self.save_index()


def assemble(
    config: EngineConfig,
    *,
    model: VideoModel | None = None,
    homes: Mapping[VideoId, Fingerprint] | None = None,
) -> Engine:
    """Load the model, open cache and index, and catch up with the chunks on disk.

    Args:
        config: Everything.
        model: One that is loaded already; `None` loads `config.model.folder`.
        homes: Which pipeline read each video; those of the same model are adopted.
    Raises:
        WeightsError: The checkpoint does not fit its family.
        MissingCapabilityError: The device that was asked for is not there.
    """
    device = pick_device(config.model.device)
    if model is None:
        model = _load(config.model, device)
    ratio = config.model.compression_ratio or model.card.compression_ratio
    past = _max_past_latents(config.model, model.card, ratio)
    sampling = replace(config.sampling, group_frames=model.card.chunk_frames)
    fingerprint = _fingerprint(config, model.card, sampling, ratio, past)
    pedigree = PipelineInfo(
        fingerprint=fingerprint,
        model=model.card.fingerprint,
        family=model.card.family,
        variant=model.card.variant,
        compression_ratio=ratio,
    )
    disk = DiskTier(
        config.latents_folder,
        pedigree,
        limit_bytes=config.cache.disk_bytes,
        durable=config.durable,
    )
    for video, pipeline in (homes or {}).items():
        disk.attach(video, pipeline)
    backend = plugins.load(index, config.index_backend, defines=("open_index",))
    path = config.index_folder / f"{fingerprint}.index"
    engine = Engine(
        config=config,
        model=model,
        cache=LatentCache(disk, config.cache, device),
        index=backend.open_index(model.card.vector_dim, path, fingerprint),
        retrieval=config.retrieval or _calibrated(config.model.folder),
        sampling=sampling,
        fingerprint=fingerprint,
        compression_ratio=ratio,
        max_past_latents=past,
    )
    refresh(engine)
    return engine


def refresh(engine: Engine, videos: Iterable[VideoId] | None = None) -> None:
    """Bring the index up to the chunks on disk, whoever wrote them.

    Cost: one look at each video's folder; only folders that changed are listed, and only new
    chunks are opened.
    Raises:
        CorruptLatentsError: A chunk's vectors fail their checksum.
    """
    disk = engine.cache.disk
    wanted = disk.videos() if videos is None else tuple(videos)
    if videos is None:
        for gone in {ref.video for ref in engine.index.refs()} - set(wanted):
            engine.index.remove(gone)
    for video in wanted:
        changed_at_ns = disk.changed_at_ns(video)
        if changed_at_ns is None or engine._seen.get(video) == changed_at_ns:
            continue
        _catch_up(engine, video)
        if time.time_ns() - changed_at_ns > _FRESH_NS:
            engine._seen[video] = changed_at_ns


def pick_device(name: str) -> torch.device:
    """A device by name; `auto` takes an accelerator when there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MissingCapabilityError(
            f"the device {name} is not there", hint="set the device to auto or cpu"
        )
    return torch.device(name)


def _catch_up(engine: Engine, video: VideoId) -> None:
    # In this order: what another thread commits in between is on disk before it is indexed.
    indexed = {ref.ordinal for ref in engine.index.refs() if ref.video == video}
    on_disk = set(engine.cache.disk.ordinals(video))
    if indexed - on_disk:
        engine.index.remove(video)
        indexed = set()
    for ordinal in sorted(on_disk - indexed):
        try:
            engine.index.add(*engine.cache.disk.vectors(video, ordinal))
        except CorruptLatentsError:
            # A chunk that was deleted while we looked is no damage.
            if engine.cache.disk.path(video, ordinal).exists():
                raise


def _load(config: ModelConfig, device: torch.device) -> VideoModel:
    name = config.dtype
    if name == "auto":
        name = "float32" if device.type == "cpu" else "bfloat16"
    dtype = getattr(torch, name)
    return load_model(config.folder, device=device, dtype=dtype, adapter_alpha=config.adapter_alpha)


def _max_past_latents(config: ModelConfig, card: ModelCard, ratio: int) -> int | None:
    if config.max_past_latents == "auto":
        return PAST_CHUNKS * -(-card.chunk_frames * card.tokens_per_frame // ratio)
    return config.max_past_latents


def _fingerprint(
    config: EngineConfig,
    card: ModelCard,
    sampling: SamplingConfig,
    ratio: int,
    max_past_latents: int | None,
) -> Fingerprint:
    """Hash of all that shapes latents: change any of it and the past is encoded anew."""
    sampled = asdict(sampling)
    if sampling.thin_static:
        sampled["thinning_version"] = THINNING_VERSION
    shaping = {
        "model": card.fingerprint,
        "latent_bytes": card.latent_bytes,
        "chunk_frames": card.chunk_frames,
        "compression_ratio": ratio,
        "max_past_latents": max_past_latents,
        "storage": config.cache.storage,
        "sampling": sampled,
    }
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return Fingerprint(digest[:32])


def _calibrated(folder: Path) -> RetrievalConfig:
    """What was measured for a checkpoint, else the defaults."""
    path = folder / "retrieval.json"
    if not path.is_file():
        return RetrievalConfig()
    try:
        return RetrievalConfig(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        known = ", ".join(each.name for each in fields(RetrievalConfig))
        raise InputRefusedError(f"{path}: {error}", hint=f"it may hold {known}") from error
