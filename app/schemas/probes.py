"""Needle probes: the request, the runs, their cells and trials."""

from typing import Literal

from pydantic import Field

from app.schemas.common import RequestModel, Schema
from app.schemas.jobs import JobItem
from engine.probe_records import ProbeResult
from engine.records import Recall


class ProbeCellItem(Schema):
    """Results of the needles at one length and depth."""

    length_frames: int
    length_s: float
    depth: float
    n: int
    answers_right: int
    evidence_hit_at_1: int
    evidence_hit_at_5: int


class ProbeResponse(Schema):
    """The results of a probe: the document of `probe`."""

    haystack: str
    model: str
    compression_ratio: int
    recall: Recall
    cells: list[ProbeCellItem]
    answer_accuracy: float
    evidence_hit_at_1: float
    wall_s: float


class ProbeRequest(RequestModel):
    """A grid of lengths and depths to probe."""

    haystack: str | None = Field(default=None, max_length=64)
    """The id of a video in the library; a drawn video if omitted."""
    lengths: list[int] = Field(default=[64, 256])
    """Sampled frames of each haystack."""
    depths: list[float] = Field(default=[0.0, 0.5, 1.0])
    """Where the needle is planted: 0 is the start, 1 the end."""
    seeds: int = 2
    """Drawn needles in each cell."""
    needles: str | None = Field(default=None, max_length=4096)
    """The key of a needle set; drawn needles if omitted."""
    ratio: int | None = None
    """Visual tokens per latent; the setting's if omitted."""
    recall: Literal["top", "all"] = "top"


class ProbeRunItem(ProbeResponse):
    """A probe run, finished or in progress."""

    run_id: int
    created_at: str
    settings: dict[str, object]
    job: JobItem | None


class ProbeRunsResponse(Schema):
    """Probe runs, newest first."""

    runs: list[ProbeRunItem]
    jobs: list[JobItem]
    """Jobs of runs that are waiting, running or failed."""


class TrialsResponse(Schema):
    """The trials of one cell, one for each needle."""

    trials: list[dict[str, object]]


def describe_probe(result: ProbeResult) -> ProbeResponse:
    """Return the results of a probe as JSON."""
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
