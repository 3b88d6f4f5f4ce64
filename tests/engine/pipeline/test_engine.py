"""One engine from one configuration, its index caught up with what others wrote."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.cache.budget import CacheConfig
from engine.device import pick_device
from engine.errors import InputRefusedError, MissingCapabilityError
from engine.media.sample import SamplingConfig
from engine.pipeline.config import EngineConfig, ModelConfig, RetrievalConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.pipeline.search import search
from engine.records import VideoId
from tests.engine.pipeline.conftest import CAMERA, chunk_path
from tests.support.fakes import CARD, ColourModel, story


def config(folder: Path) -> EngineConfig:
    return EngineConfig(
        model=ModelConfig(folder=folder, device="cpu"),
        latents_folder=folder / "latents",
        index_folder=folder / "index",
    )


def test_everything_that_shapes_latents_shapes_the_fingerprint(tmp_path: Path) -> None:
    given = config(tmp_path)
    other_weights = ColourModel(card=replace(CARD, fingerprint="c0ffee"))  # type: ignore[arg-type]
    prints = [
        assemble(given, model=ColourModel()).fingerprint,
        assemble(given, model=other_weights).fingerprint,
        *(
            assemble(variant, model=ColourModel()).fingerprint
            for variant in (
                replace(given, model=replace(given.model, compression_ratio=4)),
                replace(given, model=replace(given.model, max_past_latents=None)),
                replace(given, sampling=SamplingConfig(fps=2.0)),
                replace(given, sampling=SamplingConfig(thin_static=False)),
                replace(given, sampling=SamplingConfig(keyframe_s=2.0)),
                replace(given, cache=CacheConfig(storage="int8")),
            )
        ),
    ]
    assert len(set(prints)) == len(prints)


def test_budgets_and_retrieval_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    given = config(tmp_path)
    other = replace(given, cache=CacheConfig(host_bytes=0), retrieval=RetrievalConfig(top_chunks=9))
    assert (
        assemble(given, model=ColourModel()).fingerprint
        == assemble(other, model=ColourModel()).fingerprint
    )


def test_latents_of_the_earlier_thinning_rule_are_kept_apart_and_still_answer(
    build: Callable[..., Engine],
) -> None:
    # Without thinning nothing shapes latents but what did before: a library of earlier stays.
    given = build().config
    thinned = assemble(replace(given, sampling=SamplingConfig()), model=ColourModel())
    sampling = asdict(thinned.sampling)
    assert fingerprint_of(thinned, sampling) != thinned.fingerprint
    assert fingerprint_of(thinned, sampling | {"thinning_version": 3}) == thinned.fingerprint
    earlier = build()
    assert fingerprint_of(earlier, asdict(earlier.sampling)) == earlier.fingerprint

    list(ingest(earlier, CAMERA, story("grey*8 red*4 grey*8")))
    later = assemble(
        replace(given, sampling=SamplingConfig()),
        model=ColourModel(),
        homes={CAMERA: earlier.fingerprint},
    )
    assert search(later, "red").moments[0].span.start_s == 8.0


def fingerprint_of(engine: Engine, sampling: dict[str, object]) -> str:
    """The hash of a pipeline as it was defined when libraries of version 1 were written."""
    card = engine.model.card
    shaping = {
        "model": card.fingerprint,
        "latent_bytes": card.latent_bytes,
        "chunk_frames": card.chunk_frames,
        "compression_ratio": engine.compression_ratio,
        "max_past_latents": engine.max_past_latents,
        "storage": engine.config.cache.storage,
        "sampling": {name: value for name, value in sampling.items() if name != "keyframe_s"},
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:32]


def test_sampling_comes_in_groups_of_the_models_chunks(tmp_path: Path) -> None:
    engine = assemble(config(tmp_path), model=ColourModel())
    assert engine.sampling.group_frames == CARD.chunk_frames


def test_a_reader_sees_what_another_process_ingests(build: Callable[..., Engine]) -> None:
    reader = build()
    running = ingest(build(), CAMERA, story("grey*8 red*4 grey*8"))
    for _ in range(2):
        next(running)
    reader.refresh()
    assert len(reader.index.refs()) == 2
    list(running)
    assert search(reader, "red").moments[0].span.start_s == 8.0


def test_a_video_that_another_process_deleted_is_no_longer_found(
    build: Callable[..., Engine],
) -> None:
    writer, reader = build(), build()
    list(ingest(writer, CAMERA, story("grey*8")))
    list(ingest(writer, VideoId("other"), story("red*8")))
    reader.refresh()
    writer.forget(CAMERA)
    reader.refresh()
    assert {ref.video for ref in reader.index.refs()} == {"other"}


def test_a_saved_index_is_opened_instead_of_every_chunk(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8 red*4")))
    engine.save_index()
    for ordinal in range(3):
        chunk_path(engine, CAMERA, ordinal).write_bytes(b"unreadable")
    assert build().index.refs() == engine.index.refs()


@pytest.mark.parametrize("damage", ["gone", "torn"])
def test_an_index_is_built_again_from_the_latents(
    build: Callable[..., Engine], damage: str
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*8 red*4")))
    engine.save_index()
    for path in engine.index_path.parent.rglob("*.segment"):
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-9])
    again = build()
    assert again.index.refs() == engine.index.refs()
    assert again.index.n_vectors == 12


def test_a_damaged_chunk_is_left_out_of_the_index_and_named(
    build: Callable[..., Engine], caplog: pytest.LogCaptureFixture
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*12")))
    chunk_path(engine, CAMERA, 1).write_bytes(b"torn")
    assert [ref.ordinal for ref in build().index.refs()] == [0, 2]
    assert "00000001.safetensors" in caplog.text


def test_what_was_calibrated_for_a_checkpoint_is_used(tmp_path: Path) -> None:
    (tmp_path / "retrieval.json").write_text('{"top_chunks": 5, "bias": -1.5}')
    engine = assemble(config(tmp_path), model=ColourModel())
    assert engine.retrieval == RetrievalConfig(top_chunks=5, bias=-1.5)


@pytest.mark.parametrize("content", ['{"topchunks": 5}', '{"signals": "sound"}', "[]", "{"])
def test_a_wrong_calibration_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "retrieval.json").write_text(content)
    with pytest.raises(InputRefusedError, match=r"retrieval\.json"):
        assemble(config(tmp_path), model=ColourModel())


def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    with pytest.raises(MissingCapabilityError, match="cuda:7"):
        pick_device("cuda:7")
