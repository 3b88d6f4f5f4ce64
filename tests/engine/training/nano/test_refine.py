"""A checkpoint trained further starts from its own weights, and its towers stay as they are."""

from pathlib import Path

import pytest
import torch

from engine.errors import InputRefusedError
from engine.models.video_xl.net import load_net
from engine.training.loop import LoopConfig
from engine.training.nano.refine import RefinePlan, refine_nano
from engine.training.nano.run import run_nano
from engine.training.recipes import nano_refine
from tests.support.short_training import TINY_NANO


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny nano from its own recipe."""
    folder = tmp_path_factory.mktemp("base")
    return Path(list(run_nano(TINY_NANO, folder, resume=False))[-1].note)


def refine(checkpoint: Path, output: Path, *, learning_rate: float) -> Path:
    plan = RefinePlan(
        bank=TINY_NANO.bank,
        loop=LoopConfig(n_steps=2, learning_rate=learning_rate, warmup_steps=1, weight_decay=0.0),
        kinds={"direction": 1.0, "exist": 1.0},
        contexts=TINY_NANO.decoder.contexts,
        n_chunks=TINY_NANO.decoder.n_chunks,
        seed=3,
    )
    return Path(list(refine_nano(checkpoint, plan, output, resume=False))[-1].note)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_net(folder, torch.device("cpu"), torch.float32).state_dict())


def test_training_with_steps_of_no_length_gives_the_checkpoint_back(
    checkpoint: Path, tmp_path: Path
) -> None:
    before, after = weights(checkpoint), weights(refine(checkpoint, tmp_path, learning_rate=1e-12))
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        # Written in 16 bit, and the projector's scale is taken out and put back in.
        torch.testing.assert_close(after[name], tensor, atol=2e-3, rtol=2e-3, msg=name)


def test_decoder_learns_and_both_towers_stay(checkpoint: Path, tmp_path: Path) -> None:
    before, after = weights(checkpoint), weights(refine(checkpoint, tmp_path, learning_rate=1e-2))
    changed = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert any(name.startswith("decoder.") for name in changed)
    assert not [name for name in changed if name.startswith("tower.")]


def test_recipe_without_a_checkpoint_says_where_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match=r"nano_refine\.json"):
        list(nano_refine.run(tmp_path, resume=False))
