"""Every family takes the same road: frames in, files, an answer out, and no byte is lost."""

from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import NotFoundError
from engine.evaluation.needle import (
    Needle,
    ask,
    encode_haystack,
    encode_needle,
    ingest_planted,
    plant,
)
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


# Every family as it is, and one each with its decoder in fewer bits.
CASES = (*((name, "native") for name in families()), ("pllava", "int8"), ("video_xl", "nf4"))


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ModelConfig:
    name, weights = request.param
    home = tmp_path_factory.mktemp(name) / "tiny"
    load_family(name).write_tiny(home)
    return ModelConfig(folder=home, device="cpu", weights=weights)


def opened(checkpoint: ModelConfig, home: Path) -> Engine:
    """An engine over a checkpoint that its family recognises by itself."""
    return assemble(
        EngineConfig(
            model=checkpoint,
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


def test_what_was_taken_in_is_answered_from(checkpoint: ModelConfig, tmp_path: Path) -> None:
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


def test_every_chunk_is_described_from_itself_alone(
    checkpoint: ModelConfig, tmp_path: Path
) -> None:
    engine = opened(checkpoint, tmp_path)
    refs = [chunk.ref for chunk in ingest(engine, CAMERA, recording(engine))]
    sampling = Sampling(max_tokens=3)
    captions = list(caption(engine, CAMERA, sampling=sampling))
    assert [text.ref for text in captions] == refs
    assert {text.fingerprint for text in captions} == {engine.fingerprint}
    assert list(caption(engine, CAMERA, known=refs[:2], sampling=sampling)) == captions[2:]
    with pytest.raises(NotFoundError):
        next(caption(engine, VideoId("another"), sampling=sampling))


def test_another_process_answers_from_the_files_alone(
    checkpoint: ModelConfig, tmp_path: Path
) -> None:
    first = opened(checkpoint, tmp_path)
    list(ingest(first, CAMERA, recording(first)))
    texts = []
    for process in (first, opened(checkpoint, tmp_path)):
        sampling = Sampling(max_tokens=3)
        *_, reply = answer(process, "What is seen?", recall="all", sampling=sampling)
        assert isinstance(reply, Answer)
        texts.append((reply.text, reply.evidence))
    assert texts[0] == texts[1]


def test_a_cut_off_ingest_ends_with_the_same_bytes(checkpoint: ModelConfig, tmp_path: Path) -> None:
    whole = opened(checkpoint, tmp_path / "whole")
    list(ingest(whole, CAMERA, recording(whole)))
    stopped = opened(checkpoint, tmp_path / "cut")
    committed = list(islice(ingest(stopped, CAMERA, recording(stopped)), 2))
    assert len(committed) == 2
    again = opened(checkpoint, tmp_path / "cut")
    assert len(list(ingest(again, CAMERA, recording(again)))) == 2
    assert files(tmp_path / "cut") == files(tmp_path / "whole")


def test_frames_that_change_their_size_are_answered_from(
    checkpoint: ModelConfig, tmp_path: Path
) -> None:
    engine = opened(checkpoint, tmp_path)
    small = list(recording(engine))
    first_s = small[-1].pts_s + 1
    large = [
        replace(frame, pixels=np.repeat(frame.pixels, 2, axis=1), pts_s=first_s + frame.pts_s)
        for frame in small
    ]
    committed = list(ingest(engine, CAMERA, FakeSource([*small, *large])))
    spans = [chunk.ref.span for chunk in committed]
    assert all(before.end_s == after.start_s for before, after in pairwise(spans))
    if engine.model.card.keeps_aspect:
        # No chunk has frames of two sizes.
        assert first_s in [span.start_s for span in spans]
    sampling = Sampling(max_tokens=3)
    *_, reply = answer(engine, "What is seen?", recall="all", sampling=sampling)
    assert isinstance(reply, Answer)
    assert reply.recalled_chunks == len(committed)


@pytest.mark.parametrize("depth", [0.0, 0.4, 1.0])
def test_a_planted_picture_of_any_size_is_folded_with_the_rest(
    checkpoint: ModelConfig, tmp_path: Path, depth: float
) -> None:
    engine = opened(checkpoint, tmp_path)
    n = 2 * engine.model.card.chunk_frames + 1
    hay = encode_haystack(engine, recording(engine))
    picture = np.full((90, 40, 3), 255, dtype=np.uint8)
    needle = Needle(image=picture, question="What is white?", answer="all")
    tokens = encode_needle(engine, needle, hay.size_px)
    stretch, planted_s = plant(hay, tokens, length_frames=n, depth=depth)
    idx = stretch.pts_s.tolist().index(planted_s)
    assert torch.equal(stretch.frame_vectors[idx], tokens.frame_vectors[0])
    shown = [
        torch.equal(stretch.embeddings[place], tokens.embeddings[0])
        for place in range(idx - idx % tokens.frames_together, n)[: tokens.frames_together]
    ]
    assert all(shown)
    ingest_planted(engine, CAMERA, stretch)
    finding = ask(engine, CAMERA, needle, planted_s, recall="all")
    assert all(span.end_s <= float(stretch.pts_s[-1]) + 1 for span in finding.shown)
