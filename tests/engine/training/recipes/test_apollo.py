"""Apollo's stages on the tiny variant: what moves in each, and data that they refuse."""

from pathlib import Path

import pytest
import torch

from engine.errors import InputRefusedError
from engine.models.apollo.checkpoint import Folders, load_net
from engine.models.apollo.model import load, write_tiny
from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import Tokenizer
from engine.records import Turn
from engine.training.data.media import read_frames
from engine.training.data.samples import Sample
from engine.training.finetune.apollo import cut_clips, label_sample, stages
from engine.training.finetune.stage_config import StageConfig
from engine.training.recipes import apollo
from tests.support.short_training import moved, run_briefly, settings, write_data

CPU = torch.device("cpu")
PARTS = ("vision.siglip.", "vision.internvideo2.", "vision.connector.", "decoder.")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apollo")
    write_tiny(folder / "base")
    write_data(folder, {"video": 2, "image": 2, "text": 2})
    return folder


@pytest.mark.parametrize("stage", stages("3b"), ids=lambda stage: stage.name)
def test_a_stage_moves_exactly_what_it_trains_and_its_loss_falls(
    home: Path, stage: StageConfig
) -> None:
    output = home / stage.name
    losses = run_briefly(apollo, output, stage.name)
    assert losses[-1] < losses[0]
    before = load_net(home / "base", CPU, torch.float32)
    after = load(output / "model", CPU, torch.float32)
    assert moved(before, after.net, PARTS) == set(stage.rates)


def test_data_that_the_paper_found_harmful_are_refused(home: Path, tmp_path: Path) -> None:
    for kinds, message in (
        ({"video": 1}, "text must be 10% to 15%, not 0.0%"),
        ({"image": 1, "text": 1}, "less video than images"),
    ):
        write_data(tmp_path, kinds)
        output = settings(
            home / "harmful",
            apollo.CONFIG,
            stage="fine_tuning",
            data=str(tmp_path / "data.jsonl"),
            media=str(tmp_path),
        )
        with pytest.raises(InputRefusedError, match=message):
            list(apollo.run(output, resume=False))


def test_every_turn_is_learnt_behind_those_before_it(home: Path) -> None:
    net = load_net(home / "base", CPU, torch.float32)
    tokenizer = Tokenizer.load(Folders.of(home / "base").llm)
    turns = (Turn(question="ab", answer="cd"), Turn(question="ef", answer="gh"))
    sample = Sample(location="x", media=(home / "1.mp4",), turns=turns)
    first, second = label_sample(net, tokenizer, sample, stages("3b")[2])
    kept = [item.labels[item.labels != IGNORED_LABEL].tolist() for item in (first, second)]
    assert [tokenizer.decode(ids) for ids in kept] == ["cd\n", "gh\n"]
    read = tokenizer.decode(second.ids[second.ids >= 0].tolist())
    assert "cd" in read
    assert "0.0-1.5 seconds: " in read


def test_a_short_last_clip_repeats_its_last_frame(home: Path) -> None:
    frames = list(read_frames(home / "1.mp4", fps=4.0))
    *_, last = cut_clips(frames, 4, 4)
    n_own = (len(frames) - 1) % 4 + 1
    assert len(last.pts_s) == 4
    assert (last.pixels[n_own:] == last.pixels[n_own - 1]).all()
