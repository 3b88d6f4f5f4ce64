"""The running engine, and its assembly: the one place that picks device, family, tiers, index."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch

from engine import index, plugins
from engine.cache.disk import DiskTier, PipelineInfo
from engine.cache.tiered import LatentCache
from engine.errors import CorruptLatentsError, InputRefusedError, MissingCapabilityError
from engine.media.sample import THINNING_VERSION, SamplingConfig
from engine.models.registry import load_model
from engine.pipeline.config import PAST_CHUNKS, EngineConfig, ModelConfig, RetrievalConfig
from engine.protocols import VectorIndex, VideoModel
from engine.records import ALL_TIME, ChunkRef, Fingerprint, ModelCard, VideoId

_log = logging.getLogger(__name__)

_CLOCK_TICK_NS = 2_000_000_000
"""Coarsest step of a folder's modification time (FAT: 2 s): a folder that changed more recently
may change again without its time moving."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A model, its cache and its index. Safe to ask from one thread while another ingests."""

    config: EngineConfig
    model: VideoModel
    cache: LatentCache
    index: VectorIndex
    retrieval: RetrievalConfig
    sampling: SamplingConfig
    """As configured, in groups of the model's chunks: a frame reader must be given this."""
    fingerprint: Fingerprint
    """Of the whole pipeline; latents of two pipelines never mix."""
    compression_ratio: int
    max_past_latents: int | None
    left_out: set[tuple[VideoId, int]] = field(default_factory=set, repr=False)
    """Damaged chunks that no question reaches."""
    _indexed_at_ns: dict[VideoId, int] = field(default_factory=dict, repr=False)
    """Modification time of each video's folder up to which the index holds it."""

    @property
    def index_path(self) -> Path:
        """File that the index of this pipeline is saved in."""
        return self.config.index_folder / f"{self.fingerprint}.index"

    def refresh(self, videos: Iterable[VideoId] | None = None) -> None:
        """Bring the index up to the chunks on disk, whichever process wrote them.

        Args:
            videos: Only these; `None` looks at all, and drops those that are gone.
        A chunk whose vectors fail their checksum is left out, with a line in the log.

        Cost: one look at each video's folder; only folders that changed are listed, and only
            new chunks are opened.
        """
        if videos is None:
            videos = self.cache.videos()
            for removed in {ref.video for ref in self.index.refs()} - set(videos):
                self.index.remove(removed)
        for video in videos:
            changed_at_ns = self.cache.changed_at_ns(video)
            if changed_at_ns is None or self._indexed_at_ns.get(video) == changed_at_ns:
                continue
            self._catch_up(video)
            if time.time_ns() - changed_at_ns > _CLOCK_TICK_NS:
                self._indexed_at_ns[video] = changed_at_ns

    def attach(self, video: VideoId, fingerprint: Fingerprint) -> bool:
        """Read a video where the pipeline of `fingerprint` left it.

        Returns:
            Whether that can be done: it was the same model.
        """
        if self.cache.pipeline_of(video) == fingerprint:
            return True
        is_attached = self.cache.attach(video, fingerprint)
        self._drop_from_index(video)
        return is_attached

    def drop_superseded(self) -> None:
        """Drop the vectors of readings that are no longer in force from a saved index.

        The file does not say which pipeline a video was read by. One that is attached may have
        been read anew since, so its vectors are read from its chunks; of the others the last
        chunk tells: two readings of one video have other chunks, or the same vectors.

        Cost: one header for each video, and all of the vectors of those that are attached.
        """
        last: dict[VideoId, ChunkRef] = {}
        for ref in self.index.refs():
            last[ref.video] = ref
        for video, ref in last.items():
            is_own = self.cache.pipeline_of(video) == self.fingerprint
            if not is_own or not self._is_stored(ref):
                self.index.remove(video)

    def save_index(self) -> None:
        """Save the index, so that the next process opens one file instead of one per chunk."""
        self.index.save(self.index_path, self.fingerprint)

    def set_aside(self, video: VideoId, ordinal: int) -> None:
        """Take a damaged chunk out of cache and index; `ingest` makes it again.

        Raises:
            UnreachableError: Its file cannot be renamed.
        """
        self.cache.set_aside(video, ordinal)
        self._drop_from_index(video)

    def forget(self, video: VideoId) -> None:
        """Delete a video's latents and vectors."""
        self.cache.forget(video)
        self._drop_from_index(video)
        self.save_index()

    def _is_stored(self, ref: ChunkRef) -> bool:
        """Tell whether a chunk of the index is the one on disk; a damaged one is taken for it."""
        if ref.ordinal not in self.cache.ordinals(ref.video):
            return False
        try:
            return self.cache.committed(ref.video, ref.ordinal).ref == ref
        except CorruptLatentsError:
            return True

    def _catch_up(self, video: VideoId) -> None:
        # In this order: what another thread commits in between is on disk before it is indexed.
        indexed = {ref.ordinal for ref in self.index.refs([(video, ALL_TIME)])}
        on_disk = set(self.cache.ordinals(video))
        if indexed - on_disk:
            self.index.remove(video)
            indexed = set()
        for ordinal in sorted(on_disk - indexed):
            try:
                self.index.add(*self.cache.frame_vectors(video, ordinal))
                self.left_out.discard((video, ordinal))
            except CorruptLatentsError as error:
                # A chunk that was deleted since it was listed is no damage. A damaged one is left
                # out: everything else must stay usable, its repair and removal too.
                if ordinal in self.cache.ordinals(video):
                    self.left_out.add((video, ordinal))
                    _log.warning("left out of the index: %s", error)

    def _drop_from_index(self, video: VideoId) -> None:
        self.index.remove(video)
        self._indexed_at_ns.pop(video, None)
        self.left_out.difference_update([chunk for chunk in self.left_out if chunk[0] == video])


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
        homes: The pipeline that read each video; those of the same model are attached.
    Raises:
        WeightsError: The checkpoint does not fit its family.
        MissingCapabilityError: The device that was asked for is not there.
    """
    device = pick_device(config.model.device)
    if model is None:
        model = _load(config.model, device)
    ratio = config.model.compression_ratio or model.card.compression_ratio
    max_past_latents = _max_past_latents(config.model, model.card, ratio)
    sampling = replace(config.sampling, group_frames=model.card.chunk_frames)
    fingerprint = _fingerprint(config, model.card, sampling, ratio, max_past_latents)
    disk = DiskTier(
        config.latents_folder,
        PipelineInfo(
            fingerprint=fingerprint,
            model=model.card.fingerprint,
            family=model.card.family,
            variant=model.card.variant,
            compression_ratio=ratio,
        ),
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
        max_past_latents=max_past_latents,
    )
    engine.drop_superseded()
    engine.refresh()
    return engine


def pick_device(name: str) -> torch.device:
    """Return a device by name; `auto` takes an accelerator when there is one.

    Raises:
        MissingCapabilityError: An accelerator was named and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MissingCapabilityError(f"the device {name} is not there; auto and cpu always are")
    return torch.device(name)


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
    """Hash everything that shapes latents: change any of it and the past is encoded anew."""
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
    """Read what was measured for a checkpoint, else take the defaults."""
    path = folder / "retrieval.json"
    if not path.is_file():
        return RetrievalConfig()
    try:
        return RetrievalConfig(**json.loads(path.read_text()))
    except (TypeError, ValueError) as error:
        known = ", ".join(item.name for item in fields(RetrievalConfig))
        raise InputRefusedError(f"{path}: {error}", hint=f"it may hold {known}") from error
