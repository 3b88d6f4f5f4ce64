"""Needles: cards planted as one frame of a long haystack, answered and found."""

from collections.abc import Sequence

from engine.evaluation.needle import drawn_needles
from engine.evaluation.needle_grid import GridConfig, run_grid
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.probe_records import ProbeResult
from engine.records import Recall
from tests.bench.nano_report.library import share

NEEDLE_SEED = 49_998
FACTS = ("shape", "colour", "code")
"""What needles are asked for, in turn."""


def needles(
    engine: Engine,
    frames: Sequence[Frame],
    haystack: str,
    lengths: Sequence[int],
    recall: Recall,
    ratio: int,
    n_needles: int,
) -> dict[str, object]:
    """One row per length: needle answers and evidence over five depths."""
    planted = drawn_needles(n_needles, first_seed=NEEDLE_SEED)
    found: list[bool] = []
    config = GridConfig(lengths=tuple(lengths), recall=recall, compression_ratio=ratio)
    *_, result = run_grid(
        engine,
        frames,
        planted,
        config,
        haystack=haystack,
        on_finding=lambda each: found.append(each.is_right),
    )
    assert isinstance(result, ProbeResult)
    rows = []
    for place, length in enumerate(lengths):
        cells = [cell for cell in result.cells if cell.length_frames == length]
        n = sum(cell.n for cell in cells)
        part = found[place * n : (place + 1) * n]
        by_fact = {
            fact: share([ok for at, ok in enumerate(part) if (at % n_needles) % 3 == which])
            for which, fact in enumerate(FACTS)
        }
        rows.append(
            {
                "frames": length,
                "n": n,
                "answers": share(part),
                "evidence_hit_at_1": sum(cell.evidence_hit_at_1 for cell in cells) / n,
                "evidence_hit_at_5": sum(cell.evidence_hit_at_5 for cell in cells) / n,
                **by_fact,
            }
        )
    return {"haystack": haystack, "recall": recall, "ratio": ratio, "rows": rows}
