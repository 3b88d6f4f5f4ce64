"""Apollo's stages: the paper's table, its data rule, and how a sample is written."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import torch

from engine.models.apollo import model as family
from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.models.layers.tokenizer import Tokenizer
from engine.tensors import FrameBatch
from engine.training.data.media import spread
from engine.training.finetune.apollo import ClipTurn, check_mixture, label_text, stages
from engine.training.finetune.stage_config import StageConfig


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apollo")
    family.write_tiny(folder)
    return folder


def clip(seed: int, start_s: float = 0.0) -> FrameBatch:
    torch.manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 3, 24, 32), dtype=torch.uint8)
    return FrameBatch(pixels=pixels, pts_s=start_s + torch.arange(4, dtype=torch.float64) / 2)


def turns() -> Iterator[ClipTurn]:
    clips = (clip(0), clip(1, 2.0))
    video = ClipTurn(kind="video", clips=clips, duration_s=4.0, question="Who?", answer="A dog.")
    picture = replace(video, kind="image", clips=clips[:1], answer="A cat.")
    text = replace(video, kind="text", clips=(), question="2+2?", answer="4.")
    return cycle([video, picture, text])


def test_stages_are_those_of_the_papers_table() -> None:
    align, vision, tuning = stages("7b")
    assert align.rates == {"vision.connector.": 1e-4}
    assert set(vision.rates.values()) == {5e-6, 1e-4}
    assert tuning.rates["decoder."] == 1e-5
    assert [stage.max_clips for stage in (align, vision, tuning)] == [25, 25, 150]
    assert vision.mixture == {"video": 1.0}


def test_an_unknown_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="1_5b, 3b, 7b"):
        stages("70b")


@pytest.mark.parametrize(
    ("rates", "mixture", "message"),
    [
        (("vision.siglip.",), {"video": 0.5, "image": 0.5}, "more than video"),
        (("vision.siglip.", "decoder."), {"video": 1.0}, "together"),
        (("decoder.",), {"text": 0.25, "video": 0.75}, "text must be 10% to 15%"),
        (("decoder.",), {"text": 0.05, "video": 0.95}, "text must be 10% to 15%"),
        (("decoder.",), {"text": 0.12, "video": 0.40, "image": 0.48}, "less video"),
    ],
)
def test_what_the_data_study_found_harmful_is_refused(
    rates: tuple[str, ...], mixture: dict[str, float], message: str
) -> None:
    stage = StageConfig(name="s", rates=dict.fromkeys(rates, 1e-5), mixture=mixture, max_clips=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        check_mixture(stage)


def test_only_the_answer_is_learned(checkpoint: Path) -> None:
    tokenizer, turn = Tokenizer.load(checkpoint / "llm"), next(turns())
    ids, labels = label_text(tokenizer, turn, turn.clips, 8)
    learned = labels[labels != IGNORED_LABEL]
    assert tokenizer.decode(learned.tolist()) == "A dog.\n"
    assert int((ids == PLACEHOLDER_ID).sum()) == 16
    assert "2.0-3.5 seconds: " in tokenizer.decode(ids[ids >= 0].tolist())


def test_long_videos_give_evenly_spread_clips() -> None:
    clips = [clip(seed) for seed in range(10)]
    assert spread(clips, 10) is clips
    kept = spread(clips, 3)
    assert [idx for idx, item in enumerate(clips) if any(item is k for k in kept)] == [1, 5, 8]
