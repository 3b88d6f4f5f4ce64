"""Every family takes the same road: frames in, files, an answer out, and no byte is lost."""

from itertools import islice
from pathlib import Path

import pytest

from engine.errors import NotFoundError
from engine.media.sample import SamplingConfig
from engine.models.registry import families, load_family
from engine.pipeline.answer import answer
from engine.pipeline.caption import caption
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.pipeline.search import search
from engine.protocols import Sampling
from engine.records import Answer, VideoId
from tests.support.fakes import FakeSource, story

CAMERA = VideoId("camera")


@pytest.fixture(scope="module", params=families())
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp(str(request.param)) / "tiny"
    load_family(str(request.param)).write_tiny(home)
    return home


def opened(checkpoint: Path, home: Path) -> Engine:
    """An engine over a checkpoint that its family recognises by itself."""
    return assemble(
        EngineConfig(
            model=ModelConfig(folder=checkpoint, device="cpu"),
            latents_folder=home / "latents",
            index_folder=home / "index",
            sampling=SamplingConfig(thin_static=False),
        )
    )


def recording(engine: Engine) -> FakeSource:
    """Three chunks and a half."""
    n = engine.model.card.chunk_frames
    return story(f"red*{n} green*{n} blue*{n} grey*{max(1, n // 2)}")


def files(home: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted((home / "latents").rglob("*.safetensors"))
    }


def test_what_was_taken_in_is_answered_from(checkpoint: Path, tmp_path: Path) -> None:
    engine = opened(checkpoint, tmp_path)
    committed = list(ingest(engine, CAMERA, recording(engine)))
    assert [chunk.ref.ordinal for chunk in committed] == [0, 1, 2, 3]
    ends_s = committed[-1].ref.span.end_s
    sampling = Sampling(max_tokens=3)
    *_, reply = answer(engine, "What is seen?", recall="all", sampling=sampling)
    assert isinstance(reply, Answer)
    assert reply.recalled_chunks == 4
    assert reply.searched_s == pytest.approx(ends_s)
    spans = [evidence.span for evidence in reply.evidence]
    assert all(0 <= span.start_s < span.end_s <= ends_s for span in spans)
    result = search(engine, "red")
    assert all(moment.span.end_s <= ends_s for moment in result.moments)


def test_every_chunk_is_described_from_itself_alone(checkpoint: Path, tmp_path: Path) -> None:
    engine = opened(checkpoint, tmp_path)
    refs = [chunk.ref for chunk in ingest(engine, CAMERA, recording(engine))]
    sampling = Sampling(max_tokens=3)
    captions = list(caption(engine, CAMERA, sampling=sampling))
    assert [text.ref for text in captions] == refs
    assert {text.fingerprint for text in captions} == {engine.fingerprint}
    assert list(caption(engine, CAMERA, known=refs[:2], sampling=sampling)) == captions[2:]
    with pytest.raises(NotFoundError):
        next(caption(engine, VideoId("another"), sampling=sampling))


def test_another_process_answers_from_the_files_alone(checkpoint: Path, tmp_path: Path) -> None:
    first = opened(checkpoint, tmp_path)
    list(ingest(first, CAMERA, recording(first)))
    texts = []
    for process in (first, opened(checkpoint, tmp_path)):
        sampling = Sampling(max_tokens=3)
        *_, reply = answer(process, "What is seen?", recall="all", sampling=sampling)
        assert isinstance(reply, Answer)
        texts.append((reply.text, reply.evidence))
    assert texts[0] == texts[1]


def test_a_cut_off_ingest_ends_with_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    whole = opened(checkpoint, tmp_path / "whole")
    list(ingest(whole, CAMERA, recording(whole)))
    stopped = opened(checkpoint, tmp_path / "cut")
    committed = list(islice(ingest(stopped, CAMERA, recording(stopped)), 2))
    assert len(committed) == 2
    again = opened(checkpoint, tmp_path / "cut")
    assert len(list(ingest(again, CAMERA, recording(again)))) == 2
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
