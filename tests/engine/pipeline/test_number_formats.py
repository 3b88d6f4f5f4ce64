"""A library read in one number format answers in another, where the weights are the same."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.media.sample import SamplingConfig
from engine.models.video_xl.model import write_tiny
from engine.pipeline.answer import answer
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.protocols import Sampling
from engine.records import Answer
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import FakeSource, painted


@pytest.fixture
def wide(tmp_path: Path) -> Engine:
    """A checkpoint published in 16 bits, run in 32, which has read a video."""
    folder = tmp_path / "model"
    write_tiny(folder)
    for path in folder.rglob("*.safetensors"):
        rounded = {name: tensor.bfloat16() for name, tensor in load_file(path).items()}
        save_file(rounded, path, metadata={"format": "pt"})
    config = EngineConfig(
        model=ModelConfig(folder=folder, device="cpu", dtype="float32"),
        latents_folder=tmp_path / "latents",
        index_folder=tmp_path / "index",
        sampling=SamplingConfig(thin_static=False),
    )
    engine = assemble(config)
    colours = ("grey", "red", "blue", "green")
    frames = [painted(colours[second % 4], float(second), side_px=32) for second in range(12)]
    assert len(list(ingest(engine, CAMERA, FakeSource(frames)))) > 1
    return engine


def test_what_was_read_in_float32_answers_in_bfloat16(wide: Engine) -> None:
    model = replace(wide.config.model, dtype="bfloat16")
    short = assemble(replace(wide.config, model=model), homes={CAMERA: wide.fingerprint})
    assert short.model.card.fingerprint == wide.model.card.fingerprint
    assert short.fingerprint != wide.fingerprint, "the latents of the two differ in size"
    assert short.index.refs() == wide.index.refs()
    *_, final = answer(short, "What is red?", recall="all", sampling=Sampling(max_tokens=4))
    assert isinstance(final, Answer)
    assert final.recalled_chunks == len(wide.index.refs())


def test_attention_on_chunks_of_another_format_is_nearly_the_same(wide: Engine) -> None:
    model = replace(wide.config.model, dtype="bfloat16")
    short = assemble(replace(wide.config, model=model), homes={CAMERA: wide.fingerprint})
    chunks = wide.cache.recall(wide.index.refs())
    ours, theirs = (engine.model.attend("What is red?", chunks) for engine in (wide, short))
    torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.02)
