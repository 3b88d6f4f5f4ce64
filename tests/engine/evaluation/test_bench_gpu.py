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
        "products_tflops",
        "attention_tflops",
        "upload_pinned_gb_per_s",
        "upload_pageable_gb_per_s",
    }
    assert figures["calibration"]["gemm_tflops"] > 0
    assert all(rate > 0 for rate in figures["calibration"]["products_tflops"].values())
    assert figures["calibration"]["attention_tflops"]["math"] > 0
    # On the same processor the comparison of a family is with itself.
    for name, compared in figures["families"].items():
        assert compared["float32"] == {"largest_difference": 0, "same_answer": True}, name
        assert compared["bfloat16"]["largest_difference"] < 0.1, name
    assert set(figures["counts"]) == {"assumed", "encode", "compress", "step"}
    # Nothing of it is on a device here.
    assert figures["counts"]["step"] == {"operations": 0, "round_trips": 0}
    assert len(figures["decode"]) == 2
    assert figures["recall"]["latent_bytes"] > 0
    assert figures["bf16_against_fp32"]["largest_logit_difference"] < 0.1
    ingest = figures["ingest"]
    assert ingest["plain"]["chunks"] == ingest["overlapping"]["chunks"] == 4
    assert ingest["file"]["chunks"] == 4
    storages = figures["storages"]
    assert storages["int3"]["hours"] > storages["int4"]["hours"] > storages["int8"]["hours"]
    assert all(storages[name]["equal_on_the_cpu"] for name in ("native", "int8", "int4", "int3"))
    for moment in ("alone", "beside"):
        assert figures["answer_beside_ingest"][moment]["first_token_ms"] > 0


def test_latents_may_have_what_a_card_has_free_but_for_the_work() -> None:
    gib = 1 << 30
    assert devices.budget_of(62 * gib) == 62 * gib - 62 * gib // 10
    assert devices.budget_of(7 * gib) == 4 * gib
    assert devices.budget_of(2 * gib) == 0
