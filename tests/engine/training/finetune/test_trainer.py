"""The trainer that families share: devices, precision, and layers that are computed again."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine.models.apollo.checkpoint import Folders
from engine.models.apollo.model import write_tiny as write_apollo
from engine.models.apollo.net import VARIANTS as APOLLO
from engine.models.apollo.net import build as build_apollo
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava import net as pllava_net
from engine.models.pllava.model import write_tiny as write_pllava
from engine.models.videollama2 import checkpoint as videollama2_checkpoint
from engine.models.videollama2.model import write_tiny as write_videollama2
from engine.models.videollama2.net import build as build_videollama2
from engine.training.data.samples import Sample, read_samples
from engine.training.finetune import apollo, pllava, videollama2
from engine.training.finetune.precision import has_fast_bf16, round_frozen, uses_bf16
from engine.training.finetune.settings import TuningConfig
from engine.training.finetune.stage_config import StageConfig, select_parts
from engine.training.finetune.trainer import TrainableModel, batch_loss, mean_loss
from engine.training.loop import autocast, read_progress
from engine.training.recipes import apollo as apollo_recipe
from engine.training.recipes import pllava as pllava_recipe
from engine.training.recipes import videollama2 as videollama2_recipe
from engine.training.recipes.videollama2 import STAGES
from tests.engine.training.finetune.test_step_memory import FAMILIES
from tests.support.fake_cuda import CUDA, fake_cuda
from tests.support.short_training import run_briefly, write_data


def apollo_on_card(base: Path) -> TrainableModel:
    net = build_apollo(APOLLO["tiny"], CUDA, torch.float32)
    stage = apollo.stages("3b")[2]
    return apollo.trainable(net, Tokenizer.load(Folders.of(base).llm), stage)


def pllava_on_card(base: Path) -> TrainableModel:
    net = pllava_net.build(pllava_net.read(base), CUDA, torch.float32)
    return pllava.trainable(net, Tokenizer.load(base), rank=4)


def videollama2_on_card(base: Path) -> TrainableModel:
    files = videollama2_checkpoint.find_files(base)
    sizes = videollama2_checkpoint.read(base, files)
    net = build_videollama2(sizes, CUDA, torch.float32)
    return videollama2.trainable(net, Tokenizer.load(base), STAGES[-1])


ON_CARD: dict[str, tuple[Callable[[Path], object], Callable[[Path], TrainableModel]]] = {
    "apollo": (write_apollo, apollo_on_card),
    "pllava": (write_pllava, pllava_on_card),
    "videollama2": (write_videollama2, videollama2_on_card),
}


RUNS: dict[str, tuple[ModuleType, str, dict[str, Any]]] = {
    "apollo": (apollo_recipe, "fine_tuning", {}),
    "pllava": (pllava_recipe, "adapters", {"rank": 4, "sweep": [4]}),
    "videollama2": (videollama2_recipe, "joint", {}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trainer")
    for family, (write, _) in ON_CARD.items():
        write(home / family)
    write_data(home, {"video": 3, "image": 2, "audio": 2, "text": 2})
    video, *_ = (home / "data.jsonl").read_text().splitlines()
    (home / "held_out.jsonl").write_text(video)
    return home


def samples(home: Path, family: str) -> tuple[Sample, ...]:
    """Of every kind that a family learns from."""
    read = read_samples(home / "data.jsonl", home).samples
    video, image, audio, text = (read[number] for number in (0, 3, 5, 7))
    kinds = {"apollo": (video, image, text), "pllava": (video,)}
    return kinds.get(family, (video, image, audio, text))


@pytest.mark.parametrize("family", ON_CARD)
def test_everything_of_a_batch_goes_to_the_device(home: Path, family: str) -> None:
    """On tensors without memory that say `cuda:0`, a mixture of host and device is refused."""
    # A torch without CUDA differentiates nothing that says so.
    with fake_cuda(), torch.no_grad():
        model = ON_CARD[family][1](home / family)
        batch = [model.label(sample)[0] for sample in samples(home, family)]
        assert {weight.device for weight in model.root.parameters()} == {CUDA}
        assert {sequence.visual.device for sequence in batch} == {CUDA}
        loss = batch_loss(model, batch)
    assert loss.device == CUDA


def train(home: Path, family: str, name: str, **values: Any) -> tuple[Path, list[float]]:
    """The folder of a short run on the CPU, and its losses."""
    recipe, stage, own = RUNS[family]
    output = home / f"{family}-{name}"
    model = f"../{family}"
    losses = run_briefly(recipe, output, stage, model=model, device="cpu", **own, **values)
    return output, losses


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.relative_to(folder)}: {name}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


@pytest.mark.parametrize("family", RUNS)
def test_layers_that_are_computed_again_end_with_the_same_weights(home: Path, family: str) -> None:
    values = {"steps": 4, "bf16": False}
    kept, _ = train(home, family, "kept", gradient_checkpointing=False, **values)
    again, _ = train(home, family, "again", gradient_checkpointing=True, **values)
    expected, actual = tensors(kept / "model"), tensors(again / "model")
    assert actual.keys() == expected.keys()
    base = tensors(home / family)
    assert any(not torch.equal(base[key], actual[key]) for key in base.keys() & actual.keys())
    assert all(torch.equal(actual[key], value) for key, value in expected.items())


@pytest.mark.parametrize("family", RUNS)
def test_products_in_bfloat16_learn_too(home: Path, family: str) -> None:
    values = {"gradient_checkpointing": True, "held_out": "../held_out.jsonl"}
    rounded, losses = train(home, family, "rounded", bf16=True, **values)
    assert losses[-1] < losses[0]
    exact, _ = train(home, family, "exact", bf16=False, **values)
    first, other = (read_progress(folder) for folder in (rounded, exact))
    assert first[0].loss != other[0].loss
    assert first[0].loss == pytest.approx(other[0].loss, rel=0.1)
    (score,), (exact_score,) = first[-1].scores.values(), other[-1].scores.values()
    assert score == pytest.approx(exact_score, rel=0.1)


def test_settings_say_whether_products_are_in_bfloat16() -> None:
    config = TuningConfig(model=Path("m"), data=())
    cpu = torch.device("cpu")
    assert uses_bf16(config, cpu) == has_fast_bf16(cpu)
    for bf16 in (True, False):
        assert uses_bf16(TuningConfig(model=Path("m"), data=(), bf16=bf16), cpu) == bf16


@pytest.mark.parametrize(
    ("family", "stage"),
    [(family, stage) for family, (_, _, _, stages) in FAMILIES.items() for stage in stages],
    ids=lambda value: getattr(value, "name", value),
)
def test_frozen_matrices_may_be_in_bfloat16(home: Path, family: str, stage: StageConfig) -> None:
    """As on a card: the loss is about the same, and what learns is in float32, as its gradients."""
    model, _ = FAMILIES[family][2](home / family, stage)
    module, _ = select_parts(model.root, stage)
    chosen = samples(home, family)
    exact = mean_loss(model, chosen)
    n_bytes = sum(weight.nbytes for weight in model.root.parameters())
    round_frozen(model.root)
    assert sum(weight.nbytes for weight in model.root.parameters()) < n_bytes
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    assert mean_loss(model, chosen, use_bf16=True) == pytest.approx(exact, rel=0.02)
    module.train()
    with autocast(torch.device("cpu"), use_bf16=True):
        batch = [model.label(sample)[0] for sample in chosen]
        loss = batch_loss(model, batch, gradient_checkpointing=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [weight.grad for weight in module.parameters() if weight.grad is not None]
    assert any(bool(gradient.any()) for gradient in gradients)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
