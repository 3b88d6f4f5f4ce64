"""The JSON documents of the command line and the HTTP API: one shape for both.

Times are float seconds from the start of the video, half-open, beside the same as text, and as
ISO 8601 when the video has a wall clock.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from app.timefmt import format_offset, wall_clock
from engine.errors import LongwatchError
from engine.records import Answer, Caption, Evidence, Origin, ProbeResult, Recall, TimeSpan, VideoId


class Label(NamedTuple):
    """What a video is called, and when it started if that is known."""

    name: str
    start_at: datetime | None


Labels = Mapping[VideoId, Label]


class Moment(BaseModel):
    """A span of one video, in every notation."""

    video_id: str
    video: str
    start_s: float
    end_s: float
    start: str
    end: str
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    end_at: str | None = Field(default=None, exclude_if=lambda value: value is None)


class EvidenceItem(Moment):
    """A moment that supports an answer."""

    score: float
    origin: Origin
    keyframe_s: float


class AskTiming(BaseModel):
    """Milliseconds since the question arrived."""

    retrieve_ms: float
    first_token_ms: float
    total_ms: float


class AskDocument(BaseModel):
    """What `ask` answers."""

    question: str
    answer: str
    evidence: list[EvidenceItem]
    searched_s: float
    recalled_chunks: int
    recall: Recall
    model: str
    timing: AskTiming


class SearchItem(Moment):
    """A moment that matches a query."""

    rank: int
    peak_s: float
    score: float


class CaptionItem(Moment):
    """What one chunk shows, in words."""

    chunk: int
    text: str
    share: float | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of the words looked for, where some were."""


class CaptionsDocument(BaseModel):
    """What `captions` lists."""

    video_id: str
    video: str
    model: str
    captions: list[CaptionItem]


class CaptionRunDocument(BaseModel):
    """What `caption` did."""

    video_id: str
    video: str
    status: str
    model: str
    captions: int
    """All that there are now."""
    written: int
    """Those of this run."""
    wall_s: float


class SearchTiming(BaseModel):
    """Milliseconds since the query arrived."""

    total_ms: float


class SearchDocument(BaseModel):
    """What `search` finds."""

    query: str
    hits: list[SearchItem]
    captions: list[CaptionItem] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Those that hold words of the query; no part of the hits and their scores."""
    searched_s: float
    timing: SearchTiming


class ProbeCellItem(BaseModel):
    """Needles of one length and depth."""

    length_frames: int
    length_s: float
    depth: float
    n: int
    answers_right: int
    evidence_hit_at_1: int
    evidence_hit_at_5: int


class ProbeDocument(BaseModel):
    """What `probe` measures."""

    haystack: str
    model: str
    compression_ratio: int
    recall: Recall
    cells: list[ProbeCellItem]
    answer_accuracy: float
    evidence_hit_at_1: float
    wall_s: float


class ErrorBody(BaseModel):
    """A failure in one sentence."""

    code: str
    message: str
    hint: str | None = Field(default=None, exclude_if=lambda value: value is None)


class IngestItem(BaseModel):
    """One video after its ingest."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    chunks: int
    frames_encoded: int
    frames_skipped_static: int
    latent_bytes: int
    wall_s: float
    realtime_factor: float
    model: str
    fps: float
    compression_ratio: int
    warnings: list[str] = Field(default_factory=list)


class IngestDocument(BaseModel):
    """What `ingest` did."""

    videos: list[IngestItem]
    failures: list[ErrorBody] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Sources of several that could not be read."""


class DemoItem(BaseModel):
    """One question of the demo; the verdicts are there where the truth is known."""

    asked: AskDocument
    expected: str | None = None
    right: bool | None = None
    covers_truth: bool | None = None
    """Whether the first evidence overlaps the true moment."""


class DemoDocument(BaseModel):
    """What `demo` did, and where its files lie."""

    ingest: IngestItem
    questions: list[DemoItem]
    probe: ProbeDocument
    clip: str
    contact_sheet: str
    heat_map: str


class LibraryItem(BaseModel):
    """One video of the library."""

    video_id: str
    name: str
    status: str
    duration_s: float | None
    start_at: str | None = Field(default=None, exclude_if=lambda value: value is None)
    uri: str
    chunks: int
    latent_bytes: int
    fps: float | None
    compression_ratio: int | None
    warnings: list[str] = Field(default_factory=list)
    error: str | None = Field(default=None, exclude_if=lambda value: value is None)


class LibraryDocument(BaseModel):
    """What `videos list` and `videos show` tell."""

    videos: list[LibraryItem]


class ModelItem(BaseModel):
    """A checkpoint that is here, or that can be had."""

    name: str
    family: str
    where: str | None = None
    """Its folder; nothing where it is only published."""
    parameters: str | None = None
    weight_bytes: int | None = None
    licence: str | None = None
    verified: str | None = None
    note: str | None = None


class ModelsDocument(BaseModel):
    """What `models list` tells."""

    models: list[ModelItem]


class ComparisonItem(BaseModel):
    """What an hour of video costs with one checkpoint, at the rate it was meant for."""

    name: str
    family: str
    fps: float
    visual_tokens_per_frame: int
    kept_per_frame: float
    bytes_per_hour: int
    latents_per_hour: int
    positions: int
    best_at: str


class ComparisonDocument(BaseModel):
    """What `models compare` tells."""

    models: list[ComparisonItem]


class FindingItem(BaseModel):
    """One line of `doctor`."""

    name: str
    state: Literal["ok", "missing", "warning"]
    detail: str
    hint: str | None = None


class DoctorDocument(BaseModel):
    """What `doctor` finds."""

    findings: list[FindingItem]


class AccountItem(BaseModel):
    """One account of the web app."""

    name: str
    role: str
    has_password: bool


class AccountsDocument(BaseModel):
    """What `user list` tells."""

    users: list[AccountItem]


class BenchDocument(BaseModel):
    """What `bench` measured, and the file that keeps it."""

    machine: str
    figures: dict[str, dict[str, Any]]
    file: str


class TrainDocument(BaseModel):
    """What a training run left, and the last scores it measured."""

    recipe: str
    output: str
    steps: int
    measured: dict[str, float]
    skipped: int
    """Samples that could not be used; each was named while the run began."""
    model: str | None
    """The checkpoint folder, where the recipe makes one."""
    curves: list[str]
    """A picture for every stage; a JSON file of the same series lies beside each."""


class SkippedItem(BaseModel):
    """A video that could not be used, and why."""

    video: str
    reason: str


class VicoDocument(BaseModel):
    """What `vico` wrote: questions about the order of what videos show."""

    output: str
    media: str
    """The folder that names of videos in `output` are relative to."""
    captions_file: str | None
    """Where the model's captions are kept; nothing where they were given."""
    model: str | None
    videos: int
    """Those with questions."""
    captions: int
    captions_written: int
    """In this run; the others were kept from an earlier one."""
    clues: int
    questions: int
    kinds: dict[str, int]
    letters: dict[str, int]
    """How often each letter is right."""
    skipped: list[SkippedItem]
    bad_captions: list[str]
    """Lines of captions files that could not be used."""
    wall_s: float


class EvalDocument(BaseModel):
    """What `eval` measured; one record a question lies in `results`."""

    benchmark: str
    questions: int
    score: float
    """Mean over all questions."""
    evidence_questions: int
    """Those for which the benchmark states a moment."""
    evidence_hit_at_1: float
    """Share of them whose first evidence meets it."""
    results: str


class NoteDocument(BaseModel):
    """The outcome of a command that has nothing to list."""

    message: str


class ErrorDocument(BaseModel):
    """What stands in place of a result."""

    error: ErrorBody


def describe_error(error: LongwatchError) -> ErrorDocument:
    """A failure as its document."""
    return ErrorDocument(error=ErrorBody(code=error.code, message=str(error), hint=error.hint))


def describe_answer(question: str, answer: Answer, labels: Labels) -> AskDocument:
    """An answer as its document."""
    return AskDocument(
        question=question,
        answer=answer.text,
        evidence=[_describe_evidence(item, labels) for item in answer.evidence],
        searched_s=answer.searched_s,
        recalled_chunks=answer.recalled_chunks,
        recall=answer.recall,
        model=f"{answer.card.family}/{answer.card.variant}",
        timing=AskTiming(
            retrieve_ms=answer.timing.retrieve_ms,
            first_token_ms=answer.timing.first_token_ms,
            total_ms=answer.timing.total_ms,
        ),
    )


def describe_caption(
    caption: Caption, labels: Labels, *, share: float | None = None
) -> CaptionItem:
    """A caption as its document."""
    return CaptionItem(
        **place(caption.ref.video, caption.ref.span, labels).model_dump(),
        chunk=caption.ref.ordinal,
        text=caption.text,
        share=share,
    )


def describe_probe(result: ProbeResult) -> ProbeDocument:
    """A probe run as its document."""
    return ProbeDocument(
        haystack=result.haystack,
        model=result.model,
        compression_ratio=result.compression_ratio,
        recall=result.recall,
        cells=[
            ProbeCellItem(
                length_frames=cell.length_frames,
                length_s=cell.length_s,
                depth=cell.depth,
                n=cell.n,
                answers_right=cell.answers_right,
                evidence_hit_at_1=cell.evidence_hit_at_1,
                evidence_hit_at_5=cell.evidence_hit_at_5,
            )
            for cell in result.cells
        ],
        answer_accuracy=result.answer_accuracy,
        evidence_hit_at_1=result.evidence_hit_at_1,
        wall_s=result.wall_s,
    )


def place(video: VideoId, span: TimeSpan, labels: Labels) -> Moment:
    """A span in every notation; an unlabelled video is called by its id."""
    label = labels.get(video, Label(name=video, start_at=None))
    return Moment(
        video_id=video,
        video=label.name,
        start_s=span.start_s,
        end_s=span.end_s,
        start=format_offset(span.start_s),
        end=format_offset(span.end_s),
        start_at=wall_clock(label.start_at, span.start_s),
        end_at=wall_clock(label.start_at, span.end_s),
    )


def _describe_evidence(evidence: Evidence, labels: Labels) -> EvidenceItem:
    return EvidenceItem(
        **place(evidence.video, evidence.span, labels).model_dump(),
        score=evidence.score,
        origin=evidence.origin,
        keyframe_s=evidence.keyframe_s,
    )
