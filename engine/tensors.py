"""Tensor records of the flow: frames, visual tokens, latents, answer tokens.

Axis names come from one vocabulary: frame h w patch token vst latent width layer head kv_head
head_dim vector dim query chunk sample.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Float32, Float64, Int16, Int64, UInt8
from torch import Tensor, device

from engine.chunk_refs import ChunkRefs
from engine.records import ChunkRef, Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioWindow:
    """The stretch of sound that belongs to a batch of frames, on the frames' clock."""

    samples: Float32[Tensor, " sample"]
    """16 kHz, one channel, in [-1, 1]."""
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameBatch:
    """Frames in presentation order, RGB, of one size."""

    pixels: UInt8[Tensor, "frame 3 h w"]
    pts_s: Float64[Tensor, " frame"]
    """On the CPU, and 64 bits wide: 32 would step by 8 ms after a day."""
    audio: AudioWindow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualTokens:
    """Frames after the towers and the projector: the input of compression."""

    embeddings: Float[Tensor, "frame patch width"]
    frame_vectors: Float32[Tensor, "frame dim"]
    """Unit norm, in one space with text."""
    pts_s: Float64[Tensor, " frame"]
    audio: Float[Tensor, "audio_token width"] | None = None
    """Audio tokens of the same stretch, for families that hear."""
    grid: tuple[int, int] | None = None
    """Rows and columns of a frame's tokens, where frames keep their aspect."""
    frames_together: int = 1
    """Frames, counted from the first of a chunk, whose tokens are one and the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScores:
    """Inner products of queries with frames of an index, by video, then in time order."""

    chunks: ChunkRefs
    chunk: Int64[Tensor, " frame"]
    """Position of each frame's chunk in `chunks`."""
    pts_s: Float64[Tensor, " frame"]
    scores: Float32[Tensor, "query frame"]


Rank = Callable[[Float32[Tensor, "query frame"]], Float32[Tensor, " frame"]]
"""What frames are worth, from their inner products with queries: more is better."""
ChunkVectors = tuple[ChunkRef, Float[Tensor, "_ dim"], Float64[Tensor, " _"]]
"""A chunk with the vectors of its frames and their times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KvLatents:
    """Keys and values of a chunk's summary tokens, per layer."""

    keys: Float[Tensor, "layer kv_head latent head_dim"]
    """Before rotary embedding, so a recalled chunk can take any position."""
    values: Float[Tensor, "layer kv_head latent head_dim"]
    places: Int16[Tensor, "latent 2"] | None = None
    """Row and column of each latent in its frame's grid, for decoders that turn keys by them."""

    @property
    def n_latents(self) -> int:
        """Latents along the sequence axis."""
        return self.keys.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLatents:
    """Embeddings of a chunk in decoder space, for families without KV compression."""

    embeddings: Float[Tensor, "latent width"]
    places: Int16[Tensor, "latent 2"] | None = None
    """Row and column of each latent in its frame's grid, for decoders that turn keys by them."""

    @property
    def n_latents(self) -> int:
        """Latents along the sequence axis."""
        return self.embeddings.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return self.embeddings.nbytes


Latents = KvLatents | TokenLatents


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLatents:
    """A stored chunk: where it stands, its latents, and its frames as vectors."""

    ref: ChunkRef
    latents: Latents
    frame_vectors: Float32[Tensor, "frame dim"]
    pts_s: Float64[Tensor, " frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLatents:
    """A still image in decoder space, to be read beside the chunks of a video."""

    latents: tuple[Latents, ...]
    """In the order in which they stand; one or several, as the family compresses."""
    tiles: tuple[int, int] = (0, 0)
    """Rows and columns that it was cut into; (0, 0) where it is shown whole only."""

    @property
    def n_latents(self) -> int:
        """Latents along the sequence axis."""
        return sum(part.n_latents for part in self.latents)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLatents:
    """Latents as they lie in a file: named tensors and the dtype they unpack to."""

    storage: Storage
    dtype: str
    """Of the unpacked latents: `float32`, `float16` or `bfloat16`."""
    tensors: tuple[tuple[str, Tensor], ...]
    """Sorted by name; `NAME` and, for integers, `NAME.step` and `NAME.zero` (`NAME.scale` in files
    of the first 8-bit form)."""
    n_latents: int
    """Latents along the sequence axis."""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for _, tensor in self.tensors)

    def to(self, target: device, *, pinned: bool = False) -> "PackedLatents":
        """Copy latents to a device; into page-locked host memory when `pinned`."""
        moved = ((name, tensor.to(target)) for name, tensor in self.tensors)
        return PackedLatents(
            storage=self.storage,
            dtype=self.dtype,
            n_latents=self.n_latents,
            tensors=tuple((name, part.pin_memory() if pinned else part) for name, part in moved),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedChunk:
    """A chunk as the tiers hold it; unpacking gives `ChunkLatents`."""

    ref: ChunkRef
    latents: PackedLatents
    frame_vectors: Float32[Tensor, "frame dim"]
    """On the CPU, like the times."""
    pts_s: Float64[Tensor, " frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One step of an answer: the text it adds, and where the model looked while saying it."""

    text: str
    chunk_mass: Float32[Tensor, " chunk"] | None
    """Attention mass on each recalled chunk, in the order given; sums to at most 1.
    `None` where a family cannot tell."""
