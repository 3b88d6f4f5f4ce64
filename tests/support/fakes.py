"""Deterministic stand-ins for models and sources: right in every promise, and small.

`ColourModel` sees the mean colour of a frame and nothing else, so that a test can plant a red
frame, ask for "red" and know what must come back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import normalize

from engine.errors import MissingCapabilityError
from engine.media.frame import Frame
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, MediaInfo, ModelCard, SampleStats, Turn
from engine.tensors import ChunkLatents, FrameBatch, KvLatents, Latents, Token, VisualTokens

COLOURS = {
    "red": (200, 30, 30),
    "green": (30, 200, 30),
    "blue": (30, 30, 200),
    "yellow": (200, 200, 30),
    "purple": (200, 30, 200),
    "white": (230, 230, 230),
    "grey": (110, 110, 110),
}

CARD = ModelCard(
    family="colour",
    variant="tiny",
    fingerprint=Fingerprint("c0102"),
    chunk_frames=4,
    tokens_per_frame=2,
    compression_ratio=2,
    latent_bytes=2 * 2 * 8 * 4,
    vector_dim=4,
    max_positions=4096,
)


@dataclass
class ColourStream:
    """The latents that a new chunk looks back on."""

    compression_ratio: int
    most: int | None
    past: list[KvLatents] = field(default_factory=list)

    def remember(self, latents: Latents) -> None:
        """Add a chunk; the oldest leave when the limit is passed."""
        assert isinstance(latents, KvLatents)
        self.past.append(latents)
        while self.most is not None and sum(each.n_latents for each in self.past) > self.most:
            self.past.pop(0)


@dataclass(frozen=True)
class ColourModel:
    """Knows colours; answers with the colour of the chunk that its question attends to most."""

    card: ModelCard = CARD
    knows_text: bool = True
    """Whether it has a joint space of images and text."""

    def encode(self, frames: FrameBatch) -> VisualTokens:
        """The mean colour, as tokens and as a unit vector."""
        vectors = torch.stack([_vector(frame.float().mean(dim=(1, 2))) for frame in frames.pixels])
        tokens = torch.stack([vectors, vectors * 0.5], dim=1).repeat(1, 1, 2)
        return VisualTokens(embeddings=tokens, frame_vectors=vectors, pts_s=frames.pts_s)

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> ColourStream:
        """An explicit list of what was."""
        ratio = compression_ratio or self.card.compression_ratio
        stream = ColourStream(compression_ratio=ratio, most=max_past_latents)
        for latents in past:
            stream.remember(latents)
        return stream

    def compress(self, tokens: VisualTokens, stream: Stream) -> KvLatents:
        """Means over runs of tokens, and a trace of the past, so that a wrong past shows."""
        assert isinstance(stream, ColourStream)
        flat = tokens.embeddings.reshape(-1, tokens.embeddings.shape[-1])
        runs = flat.split(stream.compression_ratio)
        means = torch.stack([run.mean(dim=0) for run in runs])
        trace = sum((each.values.mean() for each in stream.past), torch.zeros(()))
        keys = means.reshape(1, 1, len(runs), -1).repeat(2, 1, 1, 1)
        return KvLatents(keys=keys, values=keys + 0.01 * torch.tanh(trace))

    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """The last colour word of a text; grey when there is none."""
        if not self.knows_text:
            raise MissingCapabilityError("no joint space")
        return _word(text)

    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Largest inner product of the colour asked for with a chunk's keys."""
        wanted = _word(question)
        looks = [(_keys(each)[0, 0, :, :4] @ wanted).max() for each in candidates]
        return torch.stack(looks) if looks else torch.empty(0)

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """The colour of the chunk that the question attends to most, word by word."""
        if not recalled:
            yield Token(text="Nothing is seen.", chunk_mass=None)
            return
        looks = self.attend(question, recalled)
        mass = torch.softmax(8 * looks, dim=0)
        best = _keys(recalled[int(looks.argmax())])[0, 0, :, :4]
        frame = best[int((best @ _word(question)).argmax())]
        vectors = {name: _vector(torch.tensor(rgb).float()) for name, rgb in COLOURS.items()}
        name = max(vectors, key=lambda each: float(vectors[each] @ normalize(frame, dim=0)))
        for word in ("It", " is", f" {name}.")[: sampling.max_tokens]:
            yield Token(text=word, chunk_mass=mass)


INFO = MediaInfo(
    uri="fake",
    container="none",
    video_codec=None,
    fps=1.0,
    height_px=8,
    width_px=8,
    duration_s=None,
)


@dataclass
class FakeSource:
    """Frames from a list, with the face of a reader."""

    frames: Sequence[Frame]
    info: MediaInfo = INFO
    stats: SampleStats = field(default_factory=SampleStats)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self.frames:
            n = self.stats.frames_sampled + 1
            self.stats = replace(self.stats, frames_decoded=n, frames_sampled=n)
            yield frame


def painted(colour: str, pts_s: float, *, side_px: int = 8) -> Frame:
    """A frame of one colour, with a touch of its own so that no two are equal."""
    pixels = np.full((side_px, side_px, 3), COLOURS[colour], dtype=np.uint8)
    pixels[0, 0] = (int(pts_s * 37) % 251, int(pts_s * 11) % 251, 0)
    return Frame(pixels=pixels, pts_s=pts_s)


def story(colours: str, *, fps: float = 1.0) -> FakeSource:
    """A video spelled in colours: "grey*7 red grey*4" has its red frame at 7 s."""
    names: list[str] = []
    for part in colours.split():
        name, _, times = part.partition("*")
        names += [name] * int(times or 1)
    return FakeSource([painted(name, place / fps) for place, name in enumerate(names)])


def _keys(chunk: ChunkLatents) -> Tensor:
    assert isinstance(chunk.latents, KvLatents)
    return chunk.latents.keys


def _word(text: str) -> Float32[Tensor, " dim"]:
    named = [word for word in COLOURS if word in text.lower()]
    return _vector(torch.tensor(COLOURS[named[-1] if named else "grey"]).float())


def _vector(rgb: Tensor) -> Float32[Tensor, " dim"]:
    """A colour as a unit vector; grey stands apart on an axis of its own."""
    centred = rgb / 255 - rgb.mean() / 255
    return normalize(torch.cat([centred, torch.tensor([0.15])]), dim=0)
