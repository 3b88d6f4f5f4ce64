"""Needle probes: the request, the runs, their cells and trials."""

from typing import Literal

from pydantic import BaseModel, Field

from app.schemas.common import RequestModel
from app.schemas.jobs import JobItem
from engine.records import ProbeResult, Recall


class ProbeCellItem(BaseModel):
    """Needles of one length and depth."""

    length_frames: int
    length_s: float
    depth: float
    n: int
    answers_right: int
    evidence_hit_at_1: int
    evidence_hit_at_5: int


class ProbeResponse(BaseModel):
    """What `probe` measures."""

    haystack: str
    model: str
    compression_ratio: int
    recall: Recall
    cells: list[ProbeCellItem]
    answer_accuracy: float
    evidence_hit_at_1: float
    wall_s: float


class ProbeRequest(RequestModel):
    """A grid of needles to run."""

    haystack: str | None = Field(default=None, max_length=64)
    """A video of the library; drawn when left out."""
    lengths: list[int] = Field(default=[64, 256], description="Sampled frames of each haystack.")
    depths: list[float] = Field(default=[0.0, 0.5, 1.0], description="0 the start, 1 the end.")
    seeds: int = Field(default=2, description="Drawn needles in a cell.")
    needles: str | None = Field(default=None, max_length=4096)
    """The key of a set of needles; drawn when left out."""
    ratio: int | None = Field(default=None, description="Visual tokens per latent.")
    recall: Literal["top", "all"] = "top"


class ProbeRunItem(ProbeResponse):
    """A run that is finished or still growing."""

    run_id: int
    created_at: str
    settings: dict[str, object]
    job: JobItem | None


class ProbeRunsResponse(BaseModel):
    """Runs, newest first."""

    runs: list[ProbeRunItem]
    jobs: list[JobItem]
    """Runs that are waiting or under way."""


class TrialsResponse(BaseModel):
    """What happened in one cell, needle by needle."""

    trials: list[dict[str, object]]


def describe_probe(result: ProbeResult) -> ProbeResponse:
    """A probe run as its document."""
    return ProbeResponse(
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
