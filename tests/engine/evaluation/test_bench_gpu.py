"""The ten minutes on a card, rehearsed: every part runs and says what it is meant to say."""

import pytest
import torch

from engine import device as devices
from engine.evaluation.bench.gpu import measure


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a card it is no rehearsal")
def test_the_run_on_a_card_is_rehearsed_without_one() -> None:
    figures = measure()
    assert figures["is_rehearsal"]
    assert figures["versions"]["torch"] == torch.__version__
    assert set(figures["calibration"]) == {
        "gemm_tflops",
        "attention_tflops",
        "upload_pinned_gb_per_s",
        "upload_pageable_gb_per_s",
    }
    assert all(rate > 0 for rate in figures["calibration"].values())
    assert set(figures["counts"]) == {"assumed", "encode", "compress", "step"}
    # Nothing of it is on a device here.
    assert figures["counts"]["step"] == {"operations": 0, "round_trips": 0}
    assert len(figures["decode"]) == 2
    assert figures["recall"]["latent_bytes"] > 0
    assert figures["bf16_against_fp32"]["largest_logit_difference"] < 0.1
    ingest = figures["ingest"]
    assert ingest["plain"]["chunks"] == ingest["overlapping"]["chunks"] == 4


def test_latents_may_have_what_a_card_has_free_but_for_the_work() -> None:
    gib = 1 << 30
    assert devices.budget_of(62 * gib) == 62 * gib - 62 * gib // 10
    assert devices.budget_of(7 * gib) == 4 * gib
    assert devices.budget_of(2 * gib) == 0
