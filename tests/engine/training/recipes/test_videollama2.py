"""VideoLLaMA 2's stages on the tiny variant: what moves in each, what is heard, what is learnt."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import Tokenizer
from engine.models.videollama2.checkpoint import load_net
from engine.models.videollama2.model import load, write_tiny
from engine.records import Turn
from engine.training.data.samples import Sample, read_samples
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.videollama2 import (
    kind_with_sound,
    label_sample,
    media_tokens,
    read_sound,
)
from engine.training.recipes import videollama2
from engine.training.recipes.videollama2 import STAGES
from tests.support.short_training import moved, run_briefly, settings, write_data

CPU = torch.device("cpu")
PARTS = ("connector.", "decoder.", "audio_tower.", "audio_projector.", "tower.")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videollama2")
    write_tiny(folder / "base")
    write_data(folder, {"video": 2, "image": 2, "audio": 2, "text": 1})
    return folder


def sounding(path: Path) -> Path:
    """A video of a second with a track of sound."""
    with av.open(path, "w") as out:
        picture, sound = out.add_stream("libx264", 4), out.add_stream("aac", 16_000, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        for shade in range(4):
            pixels = np.full((48, 64, 3), 60 * shade, dtype=np.uint8)
            out.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        tone = np.sin(np.arange(16_000) / 10).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        out.mux(sound.encode(frame))
        for stream in (picture, sound):
            out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_moves_exactly_what_it_trains_and_its_loss_falls(
    home: Path, stage: StageConfig
) -> None:
    output = home / stage.name
    losses = run_briefly(videollama2, output, stage.name)
    assert losses[-1] < losses[0]
    before = load_net(home / "base", CPU, torch.float32)
    after = load(output / "model", CPU, torch.float32)
    assert moved(before, load_net(output / "model", CPU, torch.float32), PARTS) == set(stage.rates)
    assert after.text_encoder.vector_dim == 32


def test_stages_are_those_of_the_papers_table() -> None:
    rates = {stage.name: stage.learning_rate for stage in STAGES}
    assert rates == {
        "video_pretrain": 1e-3,
        "video_multitask": 2e-5,
        "audio_pretrain": 1e-3,
        "audio_tune": 2e-5,
        "joint": 2e-5,
    }
    assert not any(stage.trains("tower.") for stage in STAGES)


def test_a_video_with_a_track_is_seen_and_heard(home: Path, tmp_path: Path) -> None:
    net = load_net(home / "base", CPU, torch.float32)
    video = Sample(location="x", media=(sounding(tmp_path / "tone.mp4"),), turns=())
    assert kind_with_sound(video) == "audio_video"
    samples = read_sound(video.media[0])
    assert samples is not None
    assert samples.abs().max() > 0.5
    pictures, both = (
        media_tokens(net, video, with_sound=False),
        media_tokens(net, video, with_sound=True),
    )
    torch.testing.assert_close(both[: len(pictures)], pictures)
    torch.testing.assert_close(both[len(pictures) :], net.hear(samples))
    without_track = read_samples(home / "data.jsonl", home).samples[0]
    assert kind_with_sound(without_track) == "video"


@pytest.mark.parametrize(
    ("stage", "learnt"), [(0, "ab cd ef gh"), (1, "cd\ngh\n"), (2, "cd\ngh\n")]
)
def test_captions_are_learnt_whole_and_of_conversations_the_answers(
    home: Path, stage: int, learnt: str
) -> None:
    net, tokenizer = load_net(home / "base", CPU, torch.float32), Tokenizer.load(home / "base")
    turns = (Turn(question="ab", answer="cd"), Turn(question="ef", answer="gh"))
    written = label_sample(
        net, tokenizer, Sample(location="x", media=(), turns=turns), STAGES[stage]
    )
    kept = written.labels[written.labels != IGNORED_LABEL]
    assert tokenizer.decode(kept.tolist()) == learnt
    read = tokenizer.decode(written.ids.tolist())
    assert ("ab" in read) == (STAGES[stage].name != "audio_pretrain")


def test_an_unknown_stage_and_unfit_data_are_refused(home: Path, tmp_path: Path) -> None:
    unknown = settings(home / "unknown", videollama2.CONFIG, stage="third")
    with pytest.raises(InputRefusedError, match="no stage 'third'; there are video_pretrain"):
        list(videollama2.run(unknown, resume=False))
    write_data(tmp_path, {"text": 1})
    unfit = settings(
        home / "unfit",
        videollama2.CONFIG,
        stage="audio_tune",
        data=str(tmp_path / "data.jsonl"),
    )
    with pytest.raises(InputRefusedError, match="hold audio, not only text"):
        list(videollama2.run(unfit, resume=False))


def test_a_run_is_not_resumed_as_another_stage(home: Path) -> None:
    output, values = home / "two", {"steps": 1, "samples_per_step": 1, "learning_rate": 1e-3}
    settings(output, videollama2.CONFIG, stage="audio_pretrain", **values)
    list(videollama2.run(output, resume=False))
    settings(output, videollama2.CONFIG, stage="audio_tune", **values)
    with pytest.raises(WeightsError, match="another run: shares differs"):
        list(videollama2.run(output, resume=True))
