"""Thresholds of an encoder's claims: fitted on footage with truth, kept beside its weights."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from engine.errors import InputRefusedError
from engine.files import atomic_write_bytes

FILE_NAME: Final = "claim.json"
MOST_FALSE: Final = 0.1
"""Share of absent things that may be claimed where a threshold is fitted."""
LEAST_ABSENT: Final = 30
"""Pairs that are not true, below which a share of them says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPair:
    """A phrase and a recording: how sure an encoder is at its best frame, and the truth."""

    log_odds: float
    is_present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedClaim:
    """A threshold, and what it was fitted on."""

    claim: float
    """Added to the log-odds that scale and bias of the checkpoint give."""
    most_false: float
    n_present: int
    n_absent: int
    present_claimed: float | None = None
    """Share of other pairs that are true and are claimed with it."""
    absent_claimed: float | None = None
    """Share of other pairs that are not true and are claimed with it."""

    @property
    def sentence(self) -> str:
        """A sentence for the readers of results; empty where nothing was measured."""
        if self.present_claimed is None or self.absent_claimed is None:
            return ""
        return (
            f"On footage that its threshold was not fitted on: {self.present_claimed:.2f} of what "
            f"is there claimed, and {self.absent_claimed:.2f} of what is not."
        )


def fit_claim(
    pairs: Sequence[ClaimPair], *, claim: float, most_false: float = MOST_FALSE
) -> FittedClaim:
    """Return the least strict threshold that claims few enough of the things that are absent.

    Args:
        pairs: As the encoder sees them now.
        claim: Of the encoder now.
        most_false: Share of the absent pairs that may be claimed.
    Raises:
        InputRefusedError: Too few absent pairs to tell.
    """
    absent = sorted((pair.log_odds for pair in pairs if not pair.is_present), reverse=True)
    if len(absent) < LEAST_ABSENT:
        raise InputRefusedError(
            f"{len(absent)} pairs of a phrase and a recording that does not show it are too few",
            hint=f"at least {LEAST_ABSENT} tell what is claimed falsely",
        )
    # Of so many the surest are claimed; the next one comes out at 0, which is not.
    highest_unclaimed = absent[math.floor(most_false * len(absent))]
    return FittedClaim(
        claim=claim - highest_unclaimed,
        most_false=most_false,
        n_present=len(pairs) - len(absent),
        n_absent=len(absent),
    )


def count_claimed(pairs: Sequence[ClaimPair], *, lifted_by: float) -> dict[bool, tuple[int, int]]:
    """Return how many pairs are claimed, and of how many, by whether they are true.

    Args:
        pairs: As the encoder saw them before.
        lifted_by: What a new threshold adds to its log-odds.
    """
    counts = {}
    for is_present in (True, False):
        odds = np.array([pair.log_odds for pair in pairs if pair.is_present == is_present])
        counts[is_present] = (int((odds + lifted_by > 0).sum()), len(odds))
    return counts


def read_claim(folder: Path) -> FittedClaim | None:
    """Return the threshold that lies beside a checkpoint; `None` where none was fitted.

    Raises:
        InputRefusedError: The file cannot be read.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    try:
        return FittedClaim(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise InputRefusedError(
            f"{path} holds no threshold: {error}", hint="delete it, or fit it again"
        ) from error


def write_claim(folder: Path, fitted: FittedClaim) -> Path:
    """Write a threshold beside a checkpoint; return the file."""
    path = folder / FILE_NAME
    atomic_write_bytes(path, json.dumps(asdict(fitted), indent=1).encode())
    return path
