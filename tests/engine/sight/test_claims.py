"""Thresholds of claims: fitted on what is absent, kept beside the weights, read again."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import InputRefusedError
from engine.sight.claims import (
    FILE_NAME,
    ClaimPair,
    count_claimed,
    fit_claim,
    read_claim,
    write_claim,
)

# Of 40 absent pairs the surest is at 3.9; present ones are a little surer.
PAIRS = [
    *(ClaimPair(log_odds=idx / 10, is_present=False) for idx in range(40)),
    *(ClaimPair(log_odds=3.0 + idx / 10, is_present=True) for idx in range(10)),
]


def test_no_more_of_what_is_absent_is_claimed_than_was_allowed() -> None:
    fitted = fit_claim(PAIRS, claim=2.0, most_false=0.1)
    claimed = count_claimed(PAIRS, lifted_by=fitted.claim - 2.0)
    assert claimed[False] == (4, 40)
    assert claimed[True] == (4, 10)
    assert (fitted.n_present, fitted.n_absent) == (10, 40)
    strict = fit_claim(PAIRS, claim=2.0, most_false=0.0)
    assert count_claimed(PAIRS, lifted_by=strict.claim - 2.0)[False] == (0, 40)


def test_too_little_that_is_absent_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="29 pairs"):
        fit_claim(PAIRS[:29], claim=0.0)


def test_threshold_lies_beside_the_weights(tmp_path: Path) -> None:
    assert read_claim(tmp_path) is None
    fitted = fit_claim(PAIRS, claim=2.0)
    assert fitted.sentence == ""
    measured = replace(fitted, present_claimed=0.5, absent_claimed=0.125)
    write_claim(tmp_path, measured)
    assert read_claim(tmp_path) == measured
    assert "0.50 of what is there claimed, and 0.12 of what is not" in measured.sentence
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(InputRefusedError, match="holds no threshold"):
        read_claim(tmp_path)
