"""The running engine, and its assembly: the one place that picks device, family, tiers, index."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from engine.cache.budget import CacheConfig
from engine.cache.disk import DiskTier
from engine.cache.far import ALONE, FarFiles
from engine.cache.latent_file import PipelineInfo
from engine.cache.tiered import LatentCache
from engine.device import CPU, cache_bytes, pick_device, prepare_device
from engine.errors import AwayLatentsError, CorruptLatentsError, UnreachableError
from engine.media.sample import SamplingConfig
from engine.models.precision import suitable_dtype
from engine.models.registry import load_model
from engine.pipeline.config import (
    PAST_CHUNKS,
    EngineConfig,
    ModelConfig,
    RetrievalConfig,
    read_calibration,
)
from engine.pipeline.fingerprint import pipeline_fingerprint
from engine.pipeline.follow import Followed, follow
from engine.pipeline.open_index import open_index
from engine.pipeline.turns import Turns, turns_at
from engine.pipeline.world import (
    MOST_CHUNKS,
    ModelWorld,
    evenly_spaced,
    is_of_world,
    read_world,
    videos_of_world,
)
from engine.protocols import SharedIndex, StepSharer, TidiesUp, VectorIndex, VideoModel
from engine.records import ALL_TIME, ChunkRef, Fingerprint, ModelCard, VideoId
from engine.tensors import ChunkVectors

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


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
    device: torch.device = CPU
    """Where the model runs."""
    world: ModelWorld | None = None
    """The narrow world that the model knows; `None` for one that was trained on real footage."""
    left_out: dict[tuple[VideoId, int], int] = field(default_factory=dict, repr=False)
    """Damaged chunks that no question reaches, and when their files were written (ns)."""
    away: set[tuple[VideoId, int]] = field(default_factory=set, repr=False)
    """Chunks that lie elsewhere, where nobody answered when they were last wanted."""
    tower_turns: Turns = field(default_factory=Turns, repr=False)
    compress_turns: Turns = field(default_factory=Turns, repr=False)
    """Videos that are read beside each other take turns, chunk by chunk."""
    _followed: Followed = field(default_factory=Followed, repr=False)
    _phrases: list[Float32[Tensor, "phrase dim"]] = field(default_factory=list, repr=False)
    """Vectors of the phrases of the model's world, once they were needed."""
    _is_known: dict[VideoId, bool] = field(default_factory=dict, repr=False)
    """Whether the model knows footage like a video's; a world does not change within a video."""

    @property
    def index_path(self) -> Path:
        """File that the index of this pipeline is saved in."""
        return self.config.index_folder / f"{self.fingerprint}.index"

    @property
    def shares_steps(self) -> bool:
        """Whether answers that run in threads beside each other decode in common steps."""
        return isinstance(self.model, StepSharer) and self.model.shares_steps

    def refresh(self, videos: Iterable[VideoId] | None = None) -> None:
        """Bring the index up to the chunks on disk, whichever process wrote them.

        Args:
            videos: Only these; `None` looks at all, and drops those that are gone.
        A chunk whose vectors fail their checksum is left out, with a line in the log.

        Cost: one look at each video's folder, or at none where nobody has written since the last;
            only folders that changed are listed, and only new chunks are opened.
        """
        follow(self.index, self.cache, self._followed, self._catch_up, videos)

    def knows(self, *videos: VideoId) -> bool:
        """Return whether the model was trained on footage like that of any of some videos.

        Cost: the vectors of at most a dozen chunks, once for each video.
        """
        if self.world is None:
            return True
        if new := [video for video in videos if video not in self._is_known]:
            verdicts = videos_of_world(self.world, self._world_phrases(self.world), self.index, new)
            self._is_known.update(verdicts)
        return any(self._is_known.get(video, False) for video in videos)

    def knows_all(self, refs: Sequence[ChunkRef]) -> bool:
        """Return whether the model was trained on footage like that of most of some chunks.

        Cost: the vectors of at most a dozen of them.
        """
        if self.world is None:
            return True
        looked_at = (
            self.frame_vectors(ref.video, ref.ordinal)[0]
            for ref in evenly_spaced(refs, MOST_CHUNKS)
        )
        return is_of_world(self.world, self._world_phrases(self.world), looked_at)

    def _world_phrases(self, world: ModelWorld) -> Float32[Tensor, "phrase dim"]:
        if not self._phrases:
            vectors = [self.model.embed_text(phrase) for phrase in world.phrases]
            self._phrases.append(torch.stack([vector.float().cpu() for vector in vectors]))
        return self._phrases[0]

    def frame_vectors(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]]:
        """Return the vectors of a chunk's frames and their times, without opening its file.

        Raises:
            CorruptLatentsError: It is not indexed, and its file is gone or damaged.
        """
        held = self.index.frames(video, ordinal)
        if held is not None:
            return held
        _, vectors, pts_s = self.cache.frame_vectors(video, ordinal)
        return vectors, pts_s

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

    def trust_marks(self) -> None:
        """Take over from a saved index which videos it holds whole, and drop what it may not hold.

        A video that is attached may have been read anew since, so its vectors are read from its
        chunks. Of the others `refresh` looks at those whose folder has changed.
        """
        self._followed.at_ns.update(self.index.marks)
        for video in self.index.refs().videos:
            if self.cache.pipeline_of(video) == self.fingerprint:
                continue
            if isinstance(self.index, SharedIndex):
                # Others ask it now: what it holds is compared with the chunks, and stays meanwhile.
                self._followed.forget(video)
            else:
                self._drop_from_index(video)

    def without_damaged(self, work: Callable[[], _Result]) -> _Result:
        """Return what `work` returns, run again without each damaged chunk that it meets.

        Raises:
            CorruptLatentsError: The damage is of no chunk that the index holds.
        """
        while True:
            try:
                return work()
            except CorruptLatentsError as error:
                if not self._leave_out(error):
                    raise

    def save_index(self) -> None:
        """Save the index, so that the next process opens one file instead of one per chunk."""
        damaged = {video for video, _ in (*self.left_out, *self.away)}
        marks = {
            video: at_ns
            for video, at_ns in list(self._followed.at_ns.items())
            if video not in damaged and self.cache.pipeline_of(video) == self.fingerprint
        }
        self.index.save(self.index_path, self.fingerprint, marks)

    def settle(self) -> None:
        """Wait until nothing writes below the folder of the index: it may be removed then."""
        if isinstance(self.index, TidiesUp):
            self.index.settle()

    def set_aside(self, video: VideoId, ordinal: int, damage: CorruptLatentsError) -> None:
        """Take a damaged chunk out of cache and index; `ingest` makes it again.

        Raises:
            UnreachableError: Its file cannot be renamed, or not be fetched now: it may be whole.
        """
        if isinstance(damage, AwayLatentsError):
            raise UnreachableError(damage.reason) from damage
        self.cache.set_aside(video, ordinal)
        self._drop_from_index(video)

    def drop_last(self, video: VideoId) -> None:
        """Delete the last chunk of a video, which ended where its source did then."""
        for ordinal in self.cache.ordinals(video)[-1:]:
            self.cache.drop(ChunkRef(video=video, ordinal=ordinal, span=ALL_TIME))
            self._drop_from_index(video)

    def forget(self, video: VideoId, *, saves_index: bool = True) -> None:
        """Delete a video's latents and vectors.

        The index of a library that is thrown away is not saved: a thread would tidy up behind it.
        """
        self.cache.forget(video)
        self._drop_from_index(video)
        if saves_index:
            self.save_index()

    def _leave_out(self, error: CorruptLatentsError) -> bool:
        """Take a chunk out of the index until its file is replaced; tell whether it was in it."""
        if error.chunk is None:
            return False
        video, ordinal = VideoId(error.chunk[0]), error.chunk[1]
        if isinstance(error, AwayLatentsError):
            return self._leave_out_for_now(error, video, ordinal)
        changed_at_ns = self.cache.changed_at_ns(video, ordinal)
        is_indexed = self.index.refs().find(video, ordinal) is not None
        if changed_at_ns is not None:
            # One without a file is gone, perhaps with its video, and cannot come back unnoticed.
            self.left_out[video, ordinal] = changed_at_ns
        self.index.remove(video, ordinal)
        _log.warning("left out of the index: %s", error)
        return is_indexed

    def _leave_out_for_now(self, error: AwayLatentsError, video: VideoId, ordinal: int) -> bool:
        """Take a chunk that cannot be fetched out of the index until the next question."""
        is_indexed = self.index.refs().find(video, ordinal) is not None
        self.away.add((video, ordinal))
        self._followed.forget(video)
        self.index.remove(video, ordinal)
        _log.warning("left out for now: %s", error)
        return is_indexed

    def _is_stored(self, ref: ChunkRef) -> bool:
        """Tell whether a chunk of the index is the one on disk; a damaged one is taken for it."""
        if ref.ordinal not in self.cache.ordinals(ref.video):
            return False
        try:
            return self.cache.committed(ref.video, ref.ordinal).ref == ref
        except CorruptLatentsError:
            return True

    def _catch_up(self, video: VideoId) -> bool:
        self._come_back(video)
        # In this order: what another thread commits in between is on disk before it is indexed.
        refs = self.index.refs()
        at = refs.of_video(video)
        indexed = set(refs.ordinals[at].tolist())
        on_disk = set(self.cache.ordinals(video))
        # The last chunk of a file that grew is made again, by whichever process read it on.
        if indexed - on_disk or (indexed and not self._is_stored(refs[at.stop - 1])):
            self.index.remove(video)
            indexed = set()
        self.index.add(self._readable(video, sorted(on_disk - indexed)))
        return not any(away == video for away, _ in self.away)

    def _readable(self, video: VideoId, ordinals: Iterable[int]) -> Iterator[ChunkVectors]:
        for ordinal in ordinals:
            if (video, ordinal) in self.left_out:
                if self.left_out[video, ordinal] == self.cache.changed_at_ns(video, ordinal):
                    continue
                del self.left_out[video, ordinal]
            try:
                yield self.cache.frame_vectors(video, ordinal)
            except AwayLatentsError as error:
                self._leave_out_for_now(error, video, ordinal)
            except CorruptLatentsError as error:
                # A chunk that was deleted since it was listed is no damage. A damaged one is left
                # out: everything else must stay usable, its repair and removal too.
                if ordinal in self.cache.ordinals(video):
                    self._leave_out(error)

    def _come_back(self, video: VideoId) -> None:
        """Have the chunks of a video that were away tried again."""
        for chunk in [chunk for chunk in self.away if chunk[0] == video]:
            self.away.discard(chunk)

    def _drop_from_index(self, video: VideoId) -> None:
        self.index.remove(video)
        self._followed.forget(video)
        self._come_back(video)
        for chunk in [chunk for chunk in self.left_out if chunk[0] == video]:
            del self.left_out[chunk]


def assemble(
    config: EngineConfig,
    *,
    model: VideoModel | None = None,
    homes: Mapping[VideoId, Fingerprint] | None = None,
    far: FarFiles = ALONE,
) -> Engine:
    """Load the model, open cache and index, and catch up with the chunks on disk.

    Args:
        config: Everything.
        model: One that is loaded already; `None` loads `config.model.folder`.
        homes: The pipeline that read each video; those of the same model are attached.
        far: The store of latents that other machines share; none without.
    Raises:
        WeightsError: The checkpoint does not fit its family.
        MissingCapabilityError: The device that was asked for is not there.
    """
    device = pick_device(config.model.device)
    if model is None:
        model = _load(config.model, device)
    prepare_device(device)
    ratio = config.model.compression_ratio or model.card.compression_ratio
    max_past_latents = _max_past_latents(config.model, model.card, ratio)
    sampling = replace(config.sampling, group_frames=model.card.chunk_frames)
    fingerprint = pipeline_fingerprint(config, model.card, sampling, ratio, max_past_latents)
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
        far=far,
    )
    for video, pipeline in (homes or {}).items():
        disk.attach(video, pipeline)
    path = config.index_folder / f"{fingerprint}.index"
    engine = Engine(
        config=config,
        model=model,
        cache=LatentCache(disk, _with_device_bytes(config.cache, device), device),
        index=open_index(
            config.index_backend, model.card.vector_dim, path, fingerprint, config.vector_tables
        ),
        retrieval=config.retrieval or read_calibration(config.model.folder),
        sampling=sampling,
        fingerprint=fingerprint,
        compression_ratio=ratio,
        max_past_latents=max_past_latents,
        device=device,
        world=read_world(config.model.folder),
        tower_turns=turns_at(device),
        compress_turns=turns_at(device),
    )
    engine.trust_marks()
    engine.refresh()
    return engine


def _with_device_bytes(config: CacheConfig, device: torch.device) -> CacheConfig:
    """Give the tier on the device what its memory has free, where nobody chose."""
    if config.device_bytes is not None:
        return config
    return replace(config, device_bytes=cache_bytes(device))


def _load(config: ModelConfig, device: torch.device) -> VideoModel:
    if config.dtype == "auto":
        dtype = suitable_dtype(config.folder, device)
    else:
        dtype = getattr(torch, config.dtype)
    return load_model(
        config.folder,
        device=device,
        dtype=dtype,
        adapter_alpha=config.adapter_alpha,
        latents=config.latent_kind,
        experts=config.experts,
        weights=config.weights,
    )


def _max_past_latents(config: ModelConfig, card: ModelCard, ratio: int) -> int | None:
    if config.max_past_latents == "auto":
        return PAST_CHUNKS * -(-card.chunk_frames * card.tokens_per_frame // ratio)
    return config.max_past_latents
