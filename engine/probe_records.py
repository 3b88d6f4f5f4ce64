"""Records of needle probes: a grid over length and depth, and its figures."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.records import Recall


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCell:
    """Needles of one haystack length and depth."""

    length_frames: int
    length_s: float
    depth: float
    """0 is the start of the haystack, 1 its end."""
    n: int
    answers_right: int
    evidence_hit_at_1: int
    evidence_hit_at_5: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A grid of needle cells over length and depth."""

    haystack: str
    model: str
    compression_ratio: int
    recall: Recall
    cells: tuple[ProbeCell, ...] = field(default_factory=tuple)
    wall_s: float = 0.0

    @property
    def answer_accuracy(self) -> float:
        """Share of all needles answered right; 0 for an empty grid."""
        return _share((cell.answers_right, cell.n) for cell in self.cells)

    @property
    def evidence_hit_at_1(self) -> float:
        """Share of all needles whose first evidence covers the planted moment."""
        return _share((cell.evidence_hit_at_1, cell.n) for cell in self.cells)


def _share(counts: Iterable[tuple[int, int]]) -> float:
    right, total = (sum(column) for column in zip(*counts, (0, 0), strict=True))
    return right / total if total else 0.0
