"""Ranks and decisions over made-up records."""

from typing import Any

import numpy as np
import pytest

from engine.training.study.plan import parse_plan
from engine.training.study.transfer import (
    Scores,
    decision_transfers,
    rank_correlation,
    size_pairs,
)
from tests.support.study_plan import PLAN

PLAN_READ = parse_plan(PLAN)
N_CONTEXTS = 64


def records(losses: dict[str, dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Records in which a variant has the same loss a token, in nats, in every context."""
    made = {}
    for variant in PLAN_READ.variants():
        name = variant.options.removeprefix("only-")
        loss = losses[variant.size].get(name)
        if loss is not None:
            made[variant.name] = {"contexts": [[4, 2, 10, 10 * loss]] * N_CONTEXTS}
    return made


BASE, SPARSE, DENSE, TWO = (
    "1-0.5-even-joint",
    "4-0.5-even-joint",
    "1-2-even-joint",
    "1-0.5-even-two",
)


def test_likelihood_is_that_of_a_token() -> None:
    losses = {BASE: 1.0, SPARSE: 1.2, DENSE: 0.9, TWO: 1.1}
    scores = Scores(PLAN_READ, records({"small": losses, "large": losses}))
    assert scores.of("likelihood")[0].tolist() == pytest.approx(np.exp([-1.0, -1.2, -0.9, -1.1]))
    assert scores.of("right").tolist() == [[0.5] * 4] * 2


def test_the_same_order_is_a_correlation_of_one() -> None:
    small = {BASE: 1.0, SPARSE: 1.2, DENSE: 0.9, TWO: 1.1}
    large = {name: loss / 2 for name, loss in small.items()}
    (pair,) = size_pairs(Scores(PLAN_READ, records({"small": small, "large": large})), "likelihood",
                         n_draws=50)  # fmt: skip
    assert (pair.small, pair.large, pair.n_variants) == ("small", "large", 4)
    assert pair.rank_correlation.value == pytest.approx(1.0)
    assert pair.rank_correlation.low == pytest.approx(1.0)
    assert pair.r_squared > 0.9


def test_a_decision_that_turns_has_its_cost() -> None:
    small = {BASE: 1.0, SPARSE: 0.8, DENSE: 0.9, TWO: 1.1}
    large = {BASE: 0.6, SPARSE: 0.7, DENSE: 0.5, TWO: 0.7}
    scores = Scores(PLAN_READ, records({"small": small, "large": large}))
    by_name = {t.decision: t for t in decision_transfers(scores, "likelihood", n_draws=50)}
    assert set(by_name) == {"frame_every_s", "tokens_a_frame", "stages"}
    turned = by_name["frame_every_s"]
    assert (turned.chosen, turned.best, turned.agrees) == (4, 1, 0.0)
    assert turned.cost.value == pytest.approx(np.exp(-0.6) - np.exp(-0.7))
    held = by_name["tokens_a_frame"]
    assert (held.chosen, held.best, held.agrees, held.cost.value) == (2, 2, 1.0, 0.0)


def test_a_variant_that_is_missing_at_a_size_is_left_out() -> None:
    losses = {BASE: 1.0, SPARSE: 1.2, DENSE: 0.9, TWO: 1.1}
    without = {name: loss for name, loss in losses.items() if name != DENSE}
    scores = Scores(PLAN_READ, records({"small": losses, "large": without}))
    assert len(scores.options) == 3
    assert size_pairs(Scores(PLAN_READ, {}), "likelihood") == []


def test_equal_scores_share_their_rank() -> None:
    assert rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 9.0])) == 1.0
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))
    # By hand: ranks 1 2 3 4 against 2 1 4 3.
    assert rank_correlation(np.arange(4.0), np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(0.6)
