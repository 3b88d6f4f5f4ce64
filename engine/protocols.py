"""The seams of the engine: a model, an image-text encoder, an index.

What only some of them can do is a protocol of its own: `FitsFrames`, `Captioner`, `ReadsImages`,
`TokenCounter` and `StepSharer` for models, `TidiesUp` and `SharedIndex` for indexes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor

from engine.chunk_refs import ChunkRefs
from engine.records import (
    EncoderCard,
    Fingerprint,
    IndexResult,
    ModelCard,
    Scope,
    Turn,
    VideoId,
)
from engine.tensors import (
    ChunkLatents,
    ChunkVectors,
    FrameBatch,
    FrameScores,
    ImageLatents,
    Latents,
    Rank,
    Token,
    VisualTokens,
)


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
class FitsFrames(Protocol):
    """A model whose resize on the host can run before, and apart from, its towers."""

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Return frames at the towers' size; `encode` makes the same of them, bit for bit."""
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
class ReadsImages(Protocol):
    """A family that may have been trained on still images, too."""

    @property
    def reads_images(self) -> bool:
        """Whether this checkpoint was trained on still images."""
        ...

    def read_image(self, pixels: UInt8[Tensor, "3 h w"]) -> ImageLatents:
        """Bring an RGB picture of any size into decoder space, as the release does.

        Raises:
            InputRefusedError: The family cannot show a picture of this shape.
        """
        ...

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Iterator[Token]:
        """Answer about images, which stand first, and recalled chunks; there may be none."""
        ...


@runtime_checkable
class ImageTextEncoder(Protocol):
    """A pair of towers, or what stands for one: pictures and words as vectors of one space.

    It looks at stills, apart from the model that answers; each has an index of its own. A phrase
    may be several vectors, and only the encoder knows what inner products with them are worth.
    """

    @property
    def card(self) -> EncoderCard:
        """The card of this encoder, for whoever reads its results."""
        ...

    def encode_images(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Float32[Tensor, "image dim"]:
        """Return a vector for each RGB picture of any size."""
        ...

    def queries(self, text: str) -> Float32[Tensor, "query dim"]:
        """Return the vectors to multiply pictures with for a phrase, at least one."""
        ...

    def relevance(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        """Return how well pictures fit a phrase, from its inner products: an order, no measure."""
        ...

    def log_odds(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        """Return the log-odds that pictures show what a phrase names; above 0 it is claimed."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """A family that counts the tokens of a text; for the others, its bytes are the bound."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes in a prompt."""
        ...


@runtime_checkable
class StepSharer(Protocol):
    """A family whose answers, run in threads beside each other, decode in common steps."""

    @property
    def shares_steps(self) -> bool:
        """Whether they do so on the device that the model runs on."""
        ...


@runtime_checkable
class TidiesUp(Protocol):
    """An index that works on a thread of its own behind a save."""

    def settle(self) -> None:
        """Wait until nothing of it is under way."""
        ...


@runtime_checkable
class SharedIndex(Protocol):
    """An index that other machines write to: it may hold chunks whose files are not here."""

    def removed_elsewhere(self) -> frozenset[VideoId]:
        """Return the videos of which another process has removed something since the last call."""
        ...


@runtime_checkable
class VectorIndex(Protocol):
    """Frame vectors of many videos, searchable with time and video filters."""

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        ...

    def add(self, chunks: Iterable[ChunkVectors]) -> None:
        """Add the frames of chunks; one that is already there is replaced.

        Chunks of one video are cheapest together: where a call is a transaction, they share one.
        """
        ...

    def remove(self, video: VideoId, ordinal: int | None = None) -> None:
        """Forget a video, or one of its chunks."""
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

    def scores(
        self,
        queries: Float[Tensor, "query dim"],
        *,
        within: Scope | None = None,
        most: int | None = None,
        rank: Rank | None = None,
    ) -> FrameScores:
        """Return the inner products of several vectors with the frames of a scope.

        Args:
            queries: At least one.
            within: Only these spans of these videos; `None` searches everything.
            most: About so many of the best frames of each query do, with those beside them; every
                frame is returned when `None`, or where that costs little.
            rank: What frames are worth by their scores: for indexes that choose for all queries
                together.
        Returns:
            By video, then in time order.
        Cost: one pass over the rows of the scope, unless `most` allows less.
        """
        ...

    def frames(
        self, video: VideoId, ordinal: int
    ) -> tuple[Float32[Tensor, "frame dim"], Float64[Tensor, " frame"]] | None:
        """Return the vectors of a chunk's frames and their times; `None` where it is not held."""
        ...

    def refs(self, within: Scope | None = None) -> ChunkRefs:
        """Return the chunks that reach into a scope, by video, then in time order."""
        ...

    @property
    def marks(self) -> Mapping[VideoId, int]:
        """Numbers that were noted of videos when the index that was opened was saved."""
        ...

    def save(
        self, path: Path, fingerprint: Fingerprint, marks: Mapping[VideoId, int] | None = None
    ) -> None:
        """Save the index under `path`, whole or not at all.

        Args:
            path: That it was opened with.
            fingerprint: Of the pipeline or encoder that made the vectors.
            marks: Numbers to note of videos, for whoever opens it: up to which change of its
                folder the index holds a video.
        Raises:
            DiskFullError: No space; what was saved before, if anything, is untouched.
            UnreachableError: The folder cannot be written to.
        """
        ...
