"""Memory plans of the families without summary tokens, against what a real step holds."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import profile

from engine.errors import InputRefusedError
from engine.models.apollo.checkpoint import Folders
from engine.models.apollo.checkpoint import load_net as load_apollo
from engine.models.apollo.model import write_tiny as write_apollo
from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.model import write_tiny as write_pllava
from engine.models.pllava.net import load_net as load_pllava
from engine.models.videollama2.checkpoint import load_net as load_videollama2
from engine.models.videollama2.model import write_tiny as write_videollama2
from engine.training.finetune import apollo as apollo_samples
from engine.training.finetune import pllava as pllava_samples
from engine.training.finetune import videollama2 as videollama2_samples
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.precision import round_frozen
from engine.training.finetune.stage_config import StageConfig, select_parts
from engine.training.finetune.step_memory import LABELLED_TOKENS, TEXT_TOKENS, TrainingMemory
from engine.training.finetune.trainer import TrainableModel, batch_loss
from engine.training.loop import autocast
from engine.training.recipes import apollo, pllava, videollama2
from tests.support.launch import launch_two
from tests.support.short_training import settings

CPU = torch.device("cpu")
Opened = tuple[TrainableModel, Callable[[], Tensor]]
"""A model, and what makes the visual tokens of its longest sample."""


def open_apollo(folder: Path, stage: StageConfig) -> Opened:
    net = load_apollo(folder, CPU, torch.float32)
    model = apollo_samples.trainable(net, Tokenizer.load(Folders.of(folder).llm), stage)
    return model, partial(apollo_samples.longest_visual, net, stage)


def open_pllava(folder: Path, stage: StageConfig) -> Opened:
    net = load_pllava(folder, CPU, torch.float32, alpha=0.0)
    model = pllava_samples.trainable(net, Tokenizer.load(folder), rank=4)
    return model, partial(pllava_samples.longest_visual, net, stage)


def open_videollama2(folder: Path, stage: StageConfig) -> Opened:
    net = load_videollama2(folder, CPU, torch.float32)
    model = videollama2_samples.trainable(net, Tokenizer.load(folder), stage)
    return model, partial(videollama2_samples.longest_visual, net, stage)


FAMILIES: dict[str, tuple[ModuleType, Callable[[Path], object], Callable[..., Opened], Any]] = {
    "apollo": (apollo, write_apollo, open_apollo, apollo_samples.stages("3b")),
    "pllava": (pllava, write_pllava, open_pllava, pllava.STAGES),
    "videollama2": (videollama2, write_videollama2, open_videollama2, videollama2.STAGES),
}
CASES = [
    (family, stage, n_samples)
    for family, (_, _, _, stages) in FAMILIES.items()
    for stage in stages
    for n_samples in ((1, 3) if stage is stages[-1] else (1,))
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("plans")
    for family, (_, write, _, _) in FAMILIES.items():
        write(home / family / "base")
    return home


def planned(
    home: Path, family: str, stage: StageConfig, n_samples: int, **others: Any
) -> TrainingMemory:
    recipe = FAMILIES[family][0]
    values = {"bf16": False, **({"rank": 4} if family == "pllava" else {}), **others}
    output = settings(
        home / family / "run",
        recipe.CONFIG,
        stage=stage.name,
        samples_per_step=n_samples,
        **values,
    )
    plan: TrainingMemory = recipe.plan(output)
    return plan


def held_bytes(
    opened: Opened,
    stage: StageConfig,
    n_samples: int,
    *,
    bf16: bool = False,
    gradient_checkpointing: bool = False,
) -> tuple[int, int, int]:
    """Weights, gradients, and the peak beyond them of a real micro-batch."""
    model, visual = opened
    module, _ = select_parts(model.root, stage)
    if bf16:
        round_frozen(model.root)
    module.train()
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    for weight in learning:
        weight.grad = torch.zeros_like(weight)
    with profile(profile_memory=True) as seen:
        with autocast(CPU, use_bf16=bf16):
            loss = batch_loss(
                model,
                [sequence(visual()) for _ in range(n_samples)],
                gradient_checkpointing=gradient_checkpointing,
            )
        loss.backward()  # type: ignore[no-untyped-call]
    return total(model.root), sum(weight.nbytes for weight in learning), peak_of(seen)


def peak_of(seen: profile) -> int:
    now = peak = 0
    profiler: Any = seen.profiler
    for event in profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def sequence(visual: Tensor) -> LabelledSequence:
    n_context = TEXT_TOKENS - LABELLED_TOKENS
    ids = [PLACEHOLDER_ID] * len(visual) + [1] * TEXT_TOKENS
    labels = [IGNORED_LABEL] * (len(visual) + n_context) + [1] * LABELLED_TOKENS
    return LabelledSequence(ids=torch.tensor(ids), labels=torch.tensor(labels), visual=visual)


def total(root: nn.Module) -> int:
    return sum(weight.nbytes for weight in {id(w): w for w in root.parameters()}.values())


@pytest.mark.parametrize(
    ("family", "stage", "n_samples"), CASES, ids=lambda value: getattr(value, "name", str(value))
)
def test_a_plan_is_what_a_step_holds(
    home: Path, family: str, stage: StageConfig, n_samples: int
) -> None:
    plan = planned(home, family, stage, n_samples)
    opened = FAMILIES[family][2](home / family / "base", stage)
    weights, gradients, peak = held_bytes(opened, stage, n_samples)
    assert (plan.stage, plan.samples) == (stage.name, n_samples)
    assert (plan.weights_bytes, plan.gradients_bytes) == (weights, gradients)
    assert plan.optimiser_bytes == 2 * gradients
    assert plan.working_bytes == pytest.approx(max(peak, gradients), rel=0.1)
    assert (plan.adapters_bytes > 0) == (family == "pllava")


@pytest.mark.parametrize("values", [{"gradient_checkpointing": True}, {"bf16": True}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_plan_follows_the_settings(home: Path, family: str, values: dict[str, bool]) -> None:
    _, _, opened, stages = FAMILIES[family]
    plan = planned(home, family, stages[-1], 2, **values)
    is_checkpointing = values.get("gradient_checkpointing", False)
    assert (plan.is_checkpointing, plan.is_bf16) == (is_checkpointing, values.get("bf16", False))
    weights, gradients, peak = held_bytes(
        opened(home / family / "base", stages[-1]), stages[-1], 2, **values
    )
    assert (plan.weights_bytes, plan.gradients_bytes) == (weights, gradients)
    assert plan.working_bytes == pytest.approx(max(peak, gradients), rel=0.1)
    if family != "apollo":
        # The most of a tiny Apollo are 200 clips in its towers, whose layers are as they were.
        assert plan.working_bytes < planned(home, family, stages[-1], 2).working_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_config_files_alone_will_do(home: Path, family: str, tmp_path: Path) -> None:
    _, write, _, stages = FAMILIES[family]
    write(tmp_path / family / "base")
    for path in (tmp_path / family / "base").rglob("*.safetensors*"):
        path.unlink()
    assert planned(tmp_path, family, stages[0], 1) == planned(home, family, stages[0], 1)


def test_processes_share_weights_gradients_and_optimiser(home: Path) -> None:
    stage = FAMILIES["apollo"][3][2]
    alone = planned(home, "apollo", stage, 1)
    output = home / "apollo" / "run"
    shared = apollo.plan(output, 4)
    assert shared.n_processes == 4
    assert shared.optimiser_bytes == -(-alone.optimiser_bytes // 4)
    assert shared.gradients_bytes == -(-alone.gradients_bytes // 4)
    frozen_bytes = alone.weights_bytes - alone.gradients_bytes
    # Towers do not learn in this stage, and stay whole in every process.
    assert shared.weights_bytes == frozen_bytes + -(-alone.gradients_bytes // 4)
    assert shared.working_bytes > alone.working_bytes
    with pytest.raises(ValueError, match="n_processes"):
        apollo.plan(output, 0)


SHARDED = """
from pathlib import Path
import torch
from torch import nn
from torch.profiler import profile
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.training.distributed import joined
from engine.training.finetune.settings import TuningConfig
from engine.training.finetune.stage_config import StageConfig, select_parts
from engine.training.finetune.step_memory import TEXT_TOKENS, _causal_loss, plan_causal
from engine.training.sharding import ShardedWeights
from tests.engine.training.finetune.test_step_memory import peak_of
SIZES = DecoderConfig(
    vocab_size=2000, width=256, mlp_width=1024, n_layers=4, n_heads=8, n_kv_heads=4, head_dim=32,
    rope_theta=1e6, qkv_bias=True, is_tied=False,
)
STAGE = StageConfig(name="all", rates={"decoder.": 1e-3}, mixture={})
def net(device):
    with torch.device(device):
        return nn.ModuleDict({"decoder": Decoder(SIZES)})
root = net("cpu")
select_parts(root, STAGE)
decoder = root["decoder"]
with joined(shard=True) as processes:
    weights = ShardedWeights(root, decoder.stack(), torch.device("cpu"))
    weights.settle(processes)
    visual = torch.zeros(16, 256)
    def step():
        weights.run(lambda: _causal_loss(decoder, [visual], 16 + TEXT_TOKENS)).backward()
    step()
    with profile(profile_memory=True) as seen:
        step()
    config = TuningConfig(model=Path("."), data=(), samples_per_step=1)
    planned = net("meta")
    plan = plan_causal(
        planned, planned["decoder"], lambda: torch.zeros(16, 256), STAGE, config, max_tokens=1000,
        n_processes=2,
    )
    held = sum(weight.to_local().nbytes for weight in root.parameters())
    if processes.is_main:
        print("held", plan.weights_bytes, held, plan.working_bytes, peak_of(seen))
"""


def test_a_plan_of_shards_is_an_upper_limit(tmp_path: Path) -> None:
    (tmp_path / "together.py").write_text(SHARDED)
    done = launch_two("--use_fsdp", "--fsdp_version", "2", tmp_path / "together.py")
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("held ")]
    weights, held, working, peak = map(int, line.split()[1:])
    assert weights == held
    assert 0.8 * working < peak <= working


def test_a_stage_without_its_tower_is_refused(tmp_path: Path) -> None:
    write_videollama2(tmp_path / "base")
    config = tmp_path / "base" / "config.json"
    config.write_text(config.read_text().replace('"mm_audio_tower"', '"no_audio_tower"'))
    output = settings(tmp_path / "run", videollama2.CONFIG, stage="audio_pretrain")
    with pytest.raises(InputRefusedError, match="no audio tower"):
        videollama2.plan(output)
