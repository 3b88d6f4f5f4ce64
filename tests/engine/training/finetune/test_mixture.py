"""Kinds of samples: their shares, and what is drawn."""

from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from engine.training.data.samples import Sample
from engine.training.finetune.mixture import (
    WeightedSamples,
    draw_kinds,
    fit_mixture,
    group_by_kind,
    kind_of,
    kind_shares,
)
from engine.training.finetune.stage_config import Kind

MIXTURE: Final[dict[Kind, float]] = {"video": 0.75, "text": 0.25}


def sample(*names: str) -> Sample:
    return Sample(location="x", media=tuple(map(Path, names)), turns=())


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ((), "text"),
        (("a.PNG",), "image"),
        (("a.png", "b.jpg"), "multi_image"),
        (("a.png", "b.mp4"), "video"),
        (("a.wav", "b.mp3"), "audio"),
        (("a.wav", "b.mp4"), "video"),
    ],
)
def test_the_kind_of_a_sample_follows_from_its_files(names: tuple[str, ...], kind: Kind) -> None:
    assert kind_of(sample(*names)) == kind


def test_groups_keep_the_order_of_the_data() -> None:
    samples = [sample("a.mp4"), sample(), sample("b.mp4")]
    groups = group_by_kind(samples, kind_of)
    assert groups == {"video": [samples[0], samples[2]], "text": [samples[1]]}


def test_kinds_come_in_their_shares_and_repeat_with_their_seed() -> None:
    drawn = draw_kinds(MIXTURE, 400, seed=(1, 7))
    assert Counter(drawn)["video"] == pytest.approx(300, abs=30)
    assert drawn == draw_kinds(MIXTURE, 400, seed=(1, 7))
    assert drawn != draw_kinds(MIXTURE, 400, seed=(1, 8))


def test_text_keeps_its_share_where_other_kinds_are_missing() -> None:
    mixture = {"video": 0.4, "image": 0.45, "text": 0.15}
    fitted = fit_mixture(mixture, frozenset({"video", "text"}))  # type: ignore[arg-type]
    assert fitted == pytest.approx({"video": 0.85, "text": 0.15})
    alone = fit_mixture(mixture, frozenset({"text"}))  # type: ignore[arg-type]
    assert alone == {"text": pytest.approx(1.0)}
    with pytest.raises(ValueError, match="video, image, text, not only audio"):
        fit_mixture(mixture, frozenset({"audio"}))  # type: ignore[arg-type]


def test_samples_are_drawn_as_often_as_their_weights_say() -> None:
    rare = [Sample(location="rare", media=(), turns=()) for _ in range(3)]
    often = [Sample(location="often", media=(), turns=(), weight=3.0) for _ in range(3)]
    random, samples = np.random.default_rng(0), WeightedSamples([*rare, *often])
    drawn = Counter(samples.draw(random).location for _ in range(2000))
    assert drawn["often"] == pytest.approx(1500, abs=60)
    assert kind_shares({"text": rare, "video": often}) == {"text": 0.25, "video": 0.75}
