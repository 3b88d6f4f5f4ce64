"""Needles over length x depth: one record per cell, a heat map and a table of them."""

import csv
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from engine.evaluation.needle import (
    Finding,
    Haystack,
    Needle,
    ask,
    encode_haystack,
    encode_needle,
    ingest_planted,
    plant,
)
from engine.evaluation.scratch_engine import scratch_engine
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.probe_records import ProbeCell, ProbeResult
from engine.records import Recall, VideoId
from engine.synthetic.story import draw_story

LENGTHS = (64, 256, 1024)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridConfig:
    """Lengths and depths at which needles are planted, and the questions asked of them."""

    lengths: tuple[int, ...] = LENGTHS
    """Frames of the haystack, the needle's included."""
    depths: tuple[float, ...] = DEPTHS
    """0 is the first frame, 1 the last."""
    recall: Recall = "top"
    compression_ratio: int | None = None
    """`None` takes the engine's."""

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < 1:
            raise ValueError(f"lengths must be at least 1, not {self.lengths}")
        if not self.depths or not all(0 <= depth <= 1 for depth in self.depths):
            raise ValueError(f"depths must lie in [0, 1], not {self.depths}")


def run_grid(
    engine: Engine,
    frames: Iterable[Frame],
    needles: Sequence[Needle],
    config: GridConfig,
    *,
    haystack: str,
    on_finding: Callable[[Finding], None] = lambda finding: None,
    measured: Sequence[ProbeCell] = (),
) -> Generator[ProbeCell | ProbeResult, None, None]:
    """Plant every needle in every cell; cells as they are done, then the ProbeResult.

    Args:
        engine: Whose model and settings to probe; its own cache and index stay untouched.
        frames: The haystack, sampled as `engine.sampling` says; repeated where a cell is longer.
        needles: Each is planted once per cell.
        config: The grid.
        haystack: What to call it.
        on_finding: Called with the outcome of each needle, in their order, before its cell is
            yielded.
        measured: Cells of an earlier run of the same grid: they are neither measured nor
            yielded again, and are part of the result.
    Cost: the towers see each frame once; a cell folds its frames again for each needle.
    """
    started = time.perf_counter()
    if not needles:
        raise ValueError("a probe needs at least one needle")
    with tempfile.TemporaryDirectory(prefix="longwatch-probe-") as folder:
        scratch = scratch_engine(engine, Path(folder), compression_ratio=config.compression_ratio)
        hay = encode_haystack(scratch, islice(frames, max(config.lengths)))
        known = {(cell.length_frames, cell.depth): cell for cell in measured}
        cells = []
        for length in config.lengths:
            for depth in config.depths:
                if (length, depth) in known:
                    cells.append(known[length, depth])
                    continue
                findings = []
                for needle in needles:
                    findings.append(_find(scratch, hay, needle, length, depth, config.recall))
                    on_finding(findings[-1])
                cells.append(summarise(findings, length, length / hay.fps, depth))
                yield cells[-1]
    card = engine.model.card
    yield ProbeResult(
        haystack=haystack,
        model=f"{card.family}/{card.variant}",
        compression_ratio=scratch.compression_ratio,
        recall=config.recall,
        cells=tuple(cells),
        wall_s=time.perf_counter() - started,
    )


def drawn_haystack(n_frames: int, *, fps: float, seed: int = 0) -> Iterator[Frame]:
    """Yield the frames of a drawn recording in which nobody holds up a card."""
    story = draw_story(seed, n_frames / fps, fps)
    story = replace(story, events=tuple(event for event in story.events if event.card is None))
    for idx in range(n_frames):
        yield Frame(pixels=story.frame(idx / fps), pts_s=idx / fps)


def write_table(result: ProbeResult, path: Path) -> None:
    """Write one line a cell, as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [field.name for field in fields(ProbeCell)])
        table.writeheader()
        table.writerows(asdict(cell) for cell in result.cells)


def draw_heat_map(result: ProbeResult, path: Path) -> None:
    """Draw two panels, right answers and right first evidence, with a number in every cell.

    Dark is bad and light is good, in a scale that colour-blind people and printers keep apart.
    """
    # Half a second of imports that a probe without a picture does not need.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lengths = sorted({cell.length_frames for cell in result.cells})
    depths = sorted({cell.depth for cell in result.cells})
    size = (4.6 + 1.3 * len(lengths), 2.3 + 0.42 * len(depths))
    figure = Figure(figsize=size, dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_panel(left, _shares(result, "answer", lengths, depths), "Answers right", lengths, depths)
    evidence = _shares(result, "evidence", lengths, depths)
    image = draw_panel(right, evidence, "First evidence right", lengths, depths)
    left.set_ylabel("depth of the needle")
    figure.colorbar(image, ax=[left, right], label="share of needles", shrink=0.9)
    figure.suptitle(
        f"{result.haystack}: {result.model}, ratio {result.compression_ratio}, "
        f"recall {result.recall}",
        fontsize=9,
    )
    figure.savefig(path)


def summarise(
    findings: Sequence[Finding], length_frames: int, length_s: float, depth: float
) -> ProbeCell:
    """Count the findings of one cell."""
    ranks = [finding.evidence_rank for finding in findings if finding.evidence_rank is not None]
    return ProbeCell(
        length_frames=length_frames,
        length_s=length_s,
        depth=depth,
        n=len(findings),
        answers_right=sum(finding.is_right for finding in findings),
        evidence_hit_at_1=sum(rank == 1 for rank in ranks),
        evidence_hit_at_5=sum(rank <= 5 for rank in ranks),
    )


def _find(
    engine: Engine, hay: Haystack, needle: Needle, length: int, depth: float, recall: Recall
) -> Finding:
    video = VideoId("haystack")
    picture = encode_needle(engine, needle, hay.size_px)
    tokens, planted_s = plant(hay, picture, length_frames=length, depth=depth)
    ingest_planted(engine, video, tokens)
    try:
        return ask(engine, video, needle, planted_s, recall=recall)
    finally:
        engine.cache.forget(video)
        engine.index.remove(video)


def _shares(
    result: ProbeResult, what: str, lengths: Sequence[int], depths: Sequence[float]
) -> list[list[float]]:
    shares = [[float("nan")] * len(lengths) for _ in depths]
    for cell in result.cells:
        right = cell.answers_right if what == "answer" else cell.evidence_hit_at_1
        shares[depths.index(cell.depth)][lengths.index(cell.length_frames)] = right / cell.n
    return shares


def draw_panel(
    axes: Any,
    shares: Sequence[Sequence[float]],
    title: str,
    lengths: Sequence[int],
    depths: Sequence[float],
) -> Any:
    """Draw a heat map of depth by length, with a number in every cell; return the image."""
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, column in ((r, c) for r in range(len(depths)) for c in range(len(lengths))):
        share = shares[row][column]
        ink = "black" if share > 0.55 else "white"
        axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=ink, fontsize=9)
    axes.set_title(title, fontsize=10)
    axes.set_xticks(range(len(lengths)), [str(length) for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths])
    axes.set_xlabel("frames")
    return image
