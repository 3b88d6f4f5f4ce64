"""Torch-free records that storage and app may see: media, chunks, hits, evidence, answers.

Times are seconds of media time from the first frame of the video; spans are half-open.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NewType

VideoId = NewType("VideoId", str)
Fingerprint = NewType("Fingerprint", str)
"""Hex digest of everything that shapes latents: config, weights, ratio, fps, thinning, dtype."""

Origin = Literal["retrieval", "attention", "observation"]
AnsweredBy = Literal["observations", "model", "nothing"]
"""Ground of an answer: rows that observers stated, a model over recalled footage, or neither."""
Recall = Literal["top", "overview", "all"]
ObservationKind = Literal["object", "motion", "text", "speech"]
"""Source of a fact about footage: detector, segmentation, OCR, or speech and subtitles."""
MomentKind = Literal["vector", "object", "text", "speech", "motion", "caption"]
"""Source of a moment that a search finds: vectors of stills, an observer, or a caption."""
WeightFormat = Literal["native", "int8", "nf4"]
"""How a decoder holds the matrices of its layers: in the dtype of the model, or in 8 or 4 bits."""
LatentKind = Literal["tokens", "keys_values"]
"""What is kept of a chunk where a family leaves the choice: embeddings, or keys and values."""
Storage = Literal["native", "int8", "int4", "int3"]
"""Form in which latents are kept: the model's own dtype, or integers of so many bits."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TimeSpan:
    """Half-open interval `[start_s, end_s)` of media time."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s:
            raise ValueError(f"a span must not end before it starts: {self.start_s}..{self.end_s}")

    @property
    def duration_s(self) -> float:
        """Length of the span."""
        return self.end_s - self.start_s

    def contains(self, time_s: float) -> bool:
        """Return whether a moment lies inside; the end does not."""
        return self.start_s <= time_s < self.end_s

    def overlap_s(self, other: "TimeSpan") -> float:
        """Return the seconds that two spans share."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))

    def iou(self, other: "TimeSpan") -> float:
        """Return shared seconds over covered seconds, in [0, 1]; 0 for two empty spans."""
        shared = self.overlap_s(other)
        covered = self.duration_s + other.duration_s - shared
        return shared / covered if covered > 0 else 0.0

    def hull(self, other: "TimeSpan") -> "TimeSpan":
        """Return the smallest span that holds both."""
        return TimeSpan(
            start_s=min(self.start_s, other.start_s), end_s=max(self.end_s, other.end_s)
        )


ALL_TIME = TimeSpan(start_s=0.0, end_s=math.inf)
"""From the first frame to whenever a video ends."""

Scope = Sequence[tuple[VideoId, TimeSpan]]
"""Stretches of videos to look at; a video may be named more than once."""


def moment_after(start_at: datetime, time_s: float) -> datetime:
    """Return the moment so much later, or the last of the calendar where that ends before."""
    try:
        return start_at + timedelta(seconds=time_s)
    except OverflowError:
        return datetime.max.replace(tzinfo=start_at.tzinfo)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """The facts of a source that are known before its frames are read; header values are hints."""

    uri: str
    container: str
    video_codec: str | None
    """`None` where there is no moving picture."""
    fps: float | None
    height_px: int
    width_px: int
    """Size as shown: after rotation and with square pixels."""
    duration_s: float | None
    """From the header; `None` means unknown, never 0."""
    is_live: bool = False
    has_audio: bool = False
    rotation_deg: int = 0
    first_frame_s: float = 0.0
    """When the first frame is shown by the clock of players, which begins with the first stream:
    late where sound begins before the picture."""
    warnings: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    """Metadata of the container as text; foreign, to be escaped wherever it is shown."""

    @property
    def has_picture(self) -> bool:
        """Whether there is anything to see; a file may hold sound alone."""
        return self.video_codec is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRef:
    """One chunk of one video: the unit of compression, storage, retrieval and evidence."""

    video: VideoId
    ordinal: int
    span: TimeSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The costs and promises of a model; all sums of the application come from here."""

    family: str
    variant: str
    fingerprint: Fingerprint
    """Hash of config and weights; latents of two fingerprints never mix."""
    chunk_frames: int
    tokens_per_frame: int
    compression_ratio: int
    """Visual tokens per latent, at least 1; the default of a stream, which may choose another."""
    latent_bytes: int
    """Bytes of one latent over all layers, in the dtype it is stored in."""
    vector_dim: int
    """Size of a frame vector in the joint image-text space."""
    max_positions: int
    """Positions the decoder was trained for: prompt, recalled latents and answer together."""
    wants_audio: bool = False
    fixed_latents: int | None = None
    """Latents of one full chunk where the connector alone decides; no ratio changes them."""
    keeps_aspect: bool = False
    """Whether frames keep their aspect: those of a chunk have one size then, and the costs are
    those of the largest."""

    def latents_at(self, compression_ratio: int) -> int:
        """Return the latents of a full chunk at this ratio; a remainder keeps one too."""
        if self.fixed_latents is not None:
            return self.fixed_latents
        return -(-self.chunk_frames * self.tokens_per_frame // compression_ratio)

    @property
    def latents_per_chunk(self) -> int:
        """Latents of one full chunk at the default ratio."""
        return self.latents_at(self.compression_ratio)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the latents of one full chunk."""
        return self.latents_per_chunk * self.latent_bytes

    def bytes_per_hour(self, fps: float) -> int:
        """Return the bytes of latents of an hour of video at `fps` sampled frames a second."""
        return round(3600 * fps / self.chunk_frames * self.chunk_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A checkpoint that its authors published, as its config and card state it."""

    repository: str
    """`org/name` on the model hub."""
    parameters: str
    """As the authors count them, such as `7B`."""
    licence: str
    card: ModelCard
    """With an empty fingerprint: nothing is loaded."""
    fps: float
    """Frames a second at which it was meant to look."""
    towers: tuple[str, ...] = ()
    """Repositories of the stand-alone towers that bring its text side; pulled along."""
    note: str = ""
    bytes_per_parameter: int | None = 2
    """As published; `None` where nobody here knows."""
    layer_parameters: int = 0
    """In matrices of the decoder's layers and experts, which take fewer bits; 0 where not known."""
    expert_parameters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk that answers a query, and the moment in it that does so best."""

    chunk: ChunkRef
    score: float
    """Cosine of query and best frame, in [-1, 1]; higher is nearer."""
    peak_s: float
    """Presentation time of the best frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreStats:
    """Distribution of a query's scores over the frames of one video: the yardstick of a hit."""

    video: VideoId
    n_frames: int
    mean: float
    std: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexResult:
    """Answer of a vector index to one query vector, from one pass over its rows."""

    hits: tuple[Hit, ...]
    """Best first, each chunk once."""
    stats: tuple[ScoreStats, ...]
    """One for each video that has frames in the scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A span that supports an answer; its times are stored presentation times."""

    video: VideoId
    span: TimeSpan
    score: float
    """Support, in [0, 1]."""
    origin: Origin
    keyframe_s: float
    """The frame to show for it."""
    observations: "tuple[Observation, ...]" = ()
    """Rows that state it; none where only vectors or attention speak for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTiming:
    """Milliseconds since the question arrived."""

    retrieve_ms: float
    first_token_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStretch:
    """A span of one video."""

    video: VideoId
    span: TimeSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The text of an answer, the evidence for it, and how much video was searched."""

    text: str
    evidence: tuple[Evidence, ...]
    """Best first; empty when nothing supports the answer, which the text then says."""
    card: ModelCard
    timing: AnswerTiming
    searched_s: float
    recalled_chunks: int
    recall: Recall
    left_out: tuple[VideoStretch, ...] = ()
    """What was asked for, was read once, and could not be searched."""
    answered_by: AnsweredBy = "model"
    nearest: tuple[Evidence, ...] = ()
    """The moments nearest to the question, not confirmed, where nothing supports an answer."""
    model: str = ""
    """What answered where that is not the model of the card, such as a server of the user's."""
    images: int = 0

    @property
    def model_name(self) -> str:
        """Name of the model to show beside the answer."""
        return self.model or f"{self.card.family}/{self.card.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One earlier question of a conversation and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStats:
    """Counts of one read-through of a source; each only grows."""

    frames_decoded: int = 0
    frames_sampled: int = 0
    frames_skipped_static: int = 0
    packets_damaged: int = 0
    gaps: int = 0
    """Jumps of the clock that were bridged without inventing frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCommitted:
    """A chunk whose latent file is on disk: ingest yields it, storage writes it down."""

    ref: ChunkRef
    fingerprint: Fingerprint
    n_frames: int
    n_latents: int
    file_bytes: int
    checksum: str
    activity: float
    """Mean change between its sampled frames, in [0, 1]; the timeline draws it."""
    stats: SampleStats
    """Counts of the whole video so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One chunk in the words of the model that keeps it."""

    ref: ChunkRef
    fingerprint: Fingerprint
    """The pipeline whose latents were described."""
    model: str
    """Family and variant."""
    text: str
    """Empty when the model had nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Place of a thing in one frame, in shares of its width and height, from the upper left."""

    time_s: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A fact that an observer states about a video: what, when, how sure, by which model."""

    video: VideoId
    kind: ObservationKind
    span: TimeSpan
    """From entering to leaving, of the words spoken, or for as long as the print stood."""
    label: str
    """What was recognised, in lower case: "person"; "movement" of motion; empty for words."""
    text: str
    """What was read or said; empty for objects and motion."""
    confidence: float
    """Of the model at its surest, in [0, 1]; of two models two confidences are not one scale."""
    model: str
    """The part that states it, with its version."""
    peak_s: float
    """The frame that shows it best."""
    track: int | None = None
    """Number of a thing that was followed, unique in the video and model."""
    boxes: Sequence[Box] = ()
    """Places of a track in time order, or of print; none for sound."""
    colours: tuple[str, ...] = ()
    """Names of the colours of its pixels, the most common first."""
    n_seen: int = 1
    """Frames that show it, of `n_looked`: a thing seen once in a while may be a mistake."""
    n_looked: int = 1
    """Frames that were looked at from its first to its last."""
    heading: str = ""
    """Way of a track: "left", "right", "up", "down", "nearer", "farther"; empty where it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The reach of one observer over one video: what it could have seen, and where it looked."""

    video: VideoId
    kind: ObservationKind
    model: str
    labels: frozenset[str]
    """Every label that it can state; empty where it reads any words."""
    span: TimeSpan
    """How far it has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCard:
    """The costs and promises of an image-text encoder, shown wherever its results are."""

    name: str
    """Plug-in and checkpoint, such as `concepts` or `siglip2:google/siglip2-base-patch16-224`."""
    fingerprint: Fingerprint
    """Of weights and preparation; vectors of two fingerprints never mix."""
    dim: int
    knows: str
    """What it can and cannot tell, in a sentence for the reader of results."""
    licence: str
    measured: str = ""
    """How often it was right, and on what, in a sentence; empty where nobody has measured it."""
