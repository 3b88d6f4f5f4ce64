"""Clips by time, each described from nothing but its own frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from engine.media.frame import Frame
from engine.models.pllava.model import write_tiny as write_pllava
from engine.models.video_xl.model import write_tiny as write_video_xl
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.protocols import Sampling
from engine.records import MediaInfo, SampleStats
from engine.training.data.clips import ClipCaption, caption_clips, caption_key, sentences

FEW = Sampling(max_tokens=6)


@dataclass
class Footage:
    """Frames at given times."""

    times_s: list[float]
    info: MediaInfo = field(
        default_factory=lambda: MediaInfo(
            uri="x",
            container="mp4",
            video_codec="h264",
            fps=1.0,
            height_px=32,
            width_px=32,
            duration_s=None,
        )
    )
    stats: SampleStats = field(default_factory=SampleStats)

    def __iter__(self) -> Iterator[Frame]:
        for time_s in self.times_s:
            random = np.random.default_rng(int(time_s * 1000))
            yield Frame(pixels=random.integers(0, 255, (32, 32, 3), np.uint8), pts_s=time_s)


@pytest.fixture(params=[write_video_xl, write_pllava], ids=["video_xl", "pllava"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    request.param(tmp_path / "model")
    return assemble(
        EngineConfig(
            model=ModelConfig(folder=tmp_path / "model"),
            latents_folder=tmp_path / "latents",
            index_folder=tmp_path / "index",
            durable=False,
        )
    )


def described(engine: Engine, times_s: list[float]) -> list[ClipCaption]:
    return list(caption_clips(engine, Footage(times_s), clip_s=14.0, sampling=FEW))


def test_clips_are_cut_by_time_and_end_with_the_video(engine: Engine) -> None:
    clips = described(engine, [float(n) for n in range(33)])
    spans = [(clip.span.start_s, clip.span.end_s) for clip in clips]
    assert spans == [(0.0, 14.0), (14.0, 28.0), (28.0, 33.0)]
    assert [clip.last_s for clip in clips] == [13.0, 27.0, 32.0]


def test_stretch_without_frames_is_no_clip(engine: Engine) -> None:
    clips = described(engine, [0.0, 1.0, 60.0, 61.0])
    assert [clip.span.start_s for clip in clips] == [0.0, 56.0]
    assert described(engine, []) == []


def test_going_on_behind_a_clip_says_the_same(engine: Engine) -> None:
    times_s = [float(n) for n in range(30)]
    whole = described(engine, times_s)
    rest = described(engine, [time_s for time_s in times_s if time_s > (whole[0].last_s or 0)])
    assert whole[1:] == rest


def test_captions_of_other_clips_or_words_have_another_key(engine: Engine) -> None:
    keys = {
        caption_key(engine, clip_s=clip_s, sampling=sampling)
        for clip_s in (14.0, 10.0)
        for sampling in (FEW, Sampling(max_tokens=7))
    }
    assert len(keys) == 4
    assert caption_key(engine, clip_s=14.0, sampling=FEW) in keys


def test_sentences_end_at_their_marks() -> None:
    assert sentences(" A dog runs. Is it 3.5 m?  Yes!") == ["A dog runs.", "Is it 3.5 m?", "Yes!"]
