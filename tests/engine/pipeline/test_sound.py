"""Sound on its way into latents: each chunk hears its own span, in one go and resumed alike."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from jaxtyping import Float32

from engine.media.frame import Frame
from engine.models.videollama2 import model as videollama2
from engine.models.videollama2.model import VideoLlama2
from engine.pipeline.answer import answer
from engine.pipeline.encode import SoundSource
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.pipeline.query import parse
from engine.pipeline.retrieve import retrieve
from engine.protocols import Sampling
from engine.records import Answer, ChunkRef, TimeSpan
from engine.tensors import TokenLatents
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import FakeSource, painted, story

STORY = "red*4 green*4 blue*2"


@dataclass
class Tone:
    """A tone whose pitch rises with time, so that every span sounds different."""

    gain: float = 0.3
    asked: list[TimeSpan] = field(default_factory=list)

    def window(self, span: TimeSpan) -> Float32[np.ndarray, " sample"] | None:
        """The span, from its own times alone."""
        self.asked.append(span)
        time_s = np.arange(round(span.start_s * 16_000), round(span.end_s * 16_000)) / 16_000
        return (self.gain * np.sin(2 * np.pi * (200 + 40 * time_s) * time_s)).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VideoLlama2:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    videollama2.write_tiny(folder)
    return videollama2.load(folder, torch.device("cpu"), torch.float32)


def _embeddings(engine: Engine, sound: SoundSource | None, source: FakeSource) -> list[bytes]:
    refs = [chunk.ref for chunk in ingest(engine, CAMERA, source, sound=sound)]
    return [_stored(engine, ref) for ref in refs]


def _stored(engine: Engine, ref: ChunkRef) -> bytes:
    (chunk,) = engine.cache.recall([ref])
    assert isinstance(chunk.latents, TokenLatents)
    return chunk.latents.embeddings.float().numpy().tobytes()


def test_each_chunk_hears_its_own_span(build: Callable[..., Engine], model: VideoLlama2) -> None:
    tone = Tone()
    _embeddings(build(model), tone, story(STORY))
    assert [(span.start_s, span.end_s) for span in tone.asked] == [(0, 4), (4, 8), (8, 10)]


def test_silencing_the_track_changes_every_chunk(
    build: Callable[..., Engine], model: VideoLlama2
) -> None:
    heard = _embeddings(build(model, home="heard"), Tone(), story(STORY))
    no_progress = _embeddings(build(model, home="silent"), Tone(gain=0.0), story(STORY))
    missing = _embeddings(build(model, home="missing"), None, story(STORY))
    assert all(one != other for one, other in zip(heard, no_progress, strict=True))
    assert no_progress == missing


def test_resumed_ingest_hears_the_same(build: Callable[..., Engine], model: VideoLlama2) -> None:
    whole = _embeddings(build(model, home="whole"), Tone(), story(STORY))
    engine = build(model, home="cut")
    first = ingest(engine, CAMERA, story(STORY), sound=Tone())
    refs = [next(first).ref]
    first.close()
    refs += [
        chunk.ref for chunk in ingest(build(model, home="cut"), CAMERA, story(STORY), sound=Tone())
    ]
    assert [_stored(build(model, home="cut"), ref) for ref in refs] == whole


def test_silencing_the_track_changes_the_answer_or_where_it_looks(
    build: Callable[..., Engine], model: VideoLlama2
) -> None:
    answers = []
    for home, gain in (("heard", 0.3), ("silent", 0.0)):
        engine = build(model, home=home)
        _embeddings(engine, Tone(gain=gain), story(STORY))
        steps = answer(engine, "What is heard?", recall="all", sampling=Sampling(max_tokens=8))
        tokens = [step for step in steps if not isinstance(step, Answer)]
        answers.append([(step.text, step.chunk_mass) for step in tokens])
    texts = [[text for text, _ in tokens] for tokens in answers]
    masses = [tokens[0][1] for tokens in answers]
    assert texts[0] != texts[1] or not torch.equal(*masses)  # type: ignore[arg-type]


def test_frames_of_two_sizes_share_the_sound_of_their_chunk(
    build: Callable[..., Engine], model: VideoLlama2
) -> None:
    frames = [painted("red", 0.0), painted("red", 1.0, side_px=16), painted("blue", 2.0)]
    sizes = [_embeddings(build(model), Tone(), FakeSource(frames))]
    assert len(sizes[0]) == 1
    hearing = model.net.config.hearing
    assert hearing is not None
    width = model.net.config.decoder.width
    assert len(sizes[0][0]) == 4 * width * (8 + hearing.window_tokens)


def test_sound_alone_is_searched_by_attention(
    build: Callable[..., Engine], model: VideoLlama2
) -> None:
    moments = [Frame(pixels=np.zeros((0, 0, 3), dtype=np.uint8), pts_s=float(n)) for n in range(10)]
    engine = build(model)
    refs = [chunk.ref for chunk in ingest(engine, CAMERA, FakeSource(moments), sound=Tone())]
    assert [ref.span.end_s for ref in refs] == [4, 8, 10]
    hits = retrieve(engine, parse("the high tone")).hits
    assert {hit.origin for hit in hits} == {"attention"}
