"""The four seams of the engine: a model, a tier of memory, a vector index, a benchmark.

A model may be a `Captioner` too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Float32, Float64
from torch import Tensor

from engine.records import (
    ChunkRef,
    Fingerprint,
    IndexResult,
    ModelCard,
    Scope,
    TimeSpan,
    Turn,
    VideoId,
)
from engine.tensors import ChunkLatents, FrameBatch, Latents, PackedChunk, Token, VisualTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Settings of how answer tokens are drawn."""

    max_tokens: int = 128
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}")


@runtime_checkable
class Stream(Protocol):
    """The memory of one running video, on which a new chunk may look back.

    The caller owns it; a model keeps nothing between calls. A stream that was opened with
    past chunks equals one that remembered them one by one, byte for byte.
    """

    @property
    def compression_ratio(self) -> int:
        """Visual tokens per latent in this stream."""
        ...

    def remember(self, latents: Latents) -> None:
        """Add a chunk exactly as it was stored; the oldest leave when the limit is passed."""
        ...


@runtime_checkable
class VideoModel(Protocol):
    """A family: frames to latents, then latents and a question to text."""

    @property
    def card(self) -> ModelCard:
        """Costs and promises of this model."""
        ...

    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run frames through towers and projector.

        A batch begins at a chunk and holds whole chunks, or a part of one; where the frames of
        a chunk see each other, only those that are given together do.
        """
        ...

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> Stream:
        """Start or resume a video.

        Args:
            past: Stored chunks of this video, oldest first.
            compression_ratio: Visual tokens per latent; the card's when `None`.
            max_past_latents: How many latents a chunk may look back on; whole chunks leave,
                oldest first. `None` keeps all: upstream's behaviour.
        """
        ...

    def compress(self, tokens: VisualTokens, stream: Stream) -> Latents:
        """Fold the visual tokens of one chunk; does not change the stream."""
        ...

    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """Return a query as a unit vector in the space of frame vectors.

        Raises:
            MissingCapabilityError: The family has no space that words and pictures share.
        """
        ...

    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Return how strongly the question attends to each candidate, compared side by side.

        Each candidate stands alone behind the prompt prefix, so the order and number of
        candidates do not matter; higher is stronger. The second retrieval signal.
        """
        ...

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Answer from recalled chunks, in time order, token by token."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """A family that was trained to describe; the others are asked for a description."""

    def recaption(self, chunk: ChunkLatents, sampling: Sampling) -> Iterator[Token]:
        """Describe one chunk at length."""
        ...


@runtime_checkable
class LatentTier(Protocol):
    """One level of the memory for latents: device, host or disk; all hold the stored form."""

    @property
    def used_bytes(self) -> int:
        """Bytes held now."""
        ...

    def get(self, ref: ChunkRef) -> PackedChunk | None:
        """Return the chunk, or `None` when this tier does not hold it."""
        ...

    def put(self, chunk: PackedChunk) -> None:
        """Hold a chunk; making room first is the caller's business."""
        ...

    def drop(self, ref: ChunkRef) -> None:
        """Forget a chunk; nothing happens when it is not held."""
        ...


@runtime_checkable
class VectorIndex(Protocol):
    """Frame vectors of many videos, searchable with time and video filters."""

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        ...

    def add(
        self,
        chunk: ChunkRef,
        vectors: Float[Tensor, "frame dim"],
        pts_s: Float64[Tensor, " frame"],
    ) -> None:
        """Add the frames of a chunk; a chunk that is already there is replaced."""
        ...

    def remove(self, video: VideoId) -> None:
        """Forget a video."""
        ...

    def search(
        self,
        query: Float[Tensor, " dim"],
        top: int,
        *,
        within: Scope | None = None,
    ) -> IndexResult:
        """Find the best chunks, and how the query scores against all frames of the scope.

        Args:
            query: Unit vector.
            top: Most hits to return; a chunk counts once, by its best frame.
            within: Only these spans of these videos; `None` searches everything.
        """
        ...

    def refs(self, within: Scope | None = None) -> tuple[ChunkRef, ...]:
        """Return the chunks that reach into a scope, by video, then in time order."""
        ...

    def save(self, path: Path, fingerprint: Fingerprint) -> None:
        """Write beside `path`, then rename over it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkQuestion:
    """One item of a benchmark: a video, a question, and what counts as right."""

    id: str
    video: Path
    text: str
    answer: str
    options: tuple[str, ...] = ()
    span: TimeSpan | None = None


@runtime_checkable
class Benchmark(Protocol):
    """A file under `engine/evaluation/benchmarks`."""

    def questions(self, root: Path) -> Iterator[BenchmarkQuestion]:
        """Yield every item of a local copy of the benchmark's data."""
        ...

    def score(self, answer: str, question: BenchmarkQuestion) -> float:
        """Return how right an answer is, in [0, 1]."""
        ...
