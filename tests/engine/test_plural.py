"""Counts in words."""

import pytest

from engine.plural import counted


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks"), (1.04, "1 chunk"), (1.5, "1.5 chunks")],
)
def test_only_one_is_singular(amount: float, text: str) -> None:
    assert counted(amount, "chunk") == text
