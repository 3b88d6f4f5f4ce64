"""PLLaVA's stage on the tiny variant: what moves, what is read back, what a strength changes."""

import json
from pathlib import Path

import pytest
import torch

from engine.models.layers.splice import IGNORED_LABEL, PLACEHOLDER_ID
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.model import load, write_tiny
from engine.models.pllava.net import fused_tensors, load_net
from engine.models.tiny import write_byte_tokenizer
from engine.records import Turn
from engine.training.checkpoint import FILE
from engine.training.finetune.pllava import measurable, trainable, write_conversation
from engine.training.finetune.settings import read_settings, read_split
from engine.training.finetune.trainer import batch_loss
from engine.training.recipes import pllava
from tests.support.short_training import moved, settings, write_data

CPU = torch.device("cpu")
PARTS = ("projector.", "tower.", "decoder.")
VALUES = {"rank": 4, "steps": 24, "learning_rate": 3e-3, "sweep": [0, 4, 32]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pllava")
    write_tiny(folder / "base")
    write_data(folder, {"video": 11})
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Path:
    output = settings(home / "out", pllava.CONFIG, **VALUES)
    progress = list(pllava.run(output, resume=False))
    losses = [line.loss for line in progress if line.stage == "adapters"]
    assert losses[-1] < losses[0]
    return output


def test_only_adapters_and_projector_move(home: Path, trained: Path) -> None:
    before = load_net(home / "base", CPU, torch.float32, alpha=0.0)
    image = load_net(trained / "model", CPU, torch.float32, alpha=0.0)
    assert moved(before, image, PARTS) == {"projector."}
    video = load_net(trained / "model", CPU, torch.float32, alpha=32.0)
    assert moved(before, video, PARTS) == {"projector.", "decoder."}
    changed = [
        name
        for name, tensor in fused_tensors(trained / "model", 32.0)
        if not torch.equal(tensor, dict(fused_tensors(trained / "model", 0.0))[name])
    ]
    assert {name.rsplit(".", 2)[1] for name in changed} == {"q_proj", "v_proj"}


def test_adapters_at_their_training_strength_are_the_trained_model(
    home: Path, trained: Path
) -> None:
    config = read_settings(trained / pllava.CONFIG, pllava.PllavaTuning)
    _, held_out = read_split(config)
    net = load_net(home / "base", CPU, torch.float32, alpha=0.0)
    model = trainable(net, Tokenizer.load(home / "base"), rank=4)
    state = torch.load(trained / FILE, weights_only=True)["model"]
    for name in ("adapters", "projector"):
        part = model.root.get_submodule(name)
        own = {key.removeprefix(f"{name}."): weight for key, weight in state.items() if name in key}
        part.load_state_dict(own)
        part.eval()
    fused = load(trained / "model", CPU, torch.float32, alpha=32.0)
    ours = batch_loss(model, model.label(held_out[0]))
    theirs = measurable(fused.net, fused.tokenizer)
    torch.testing.assert_close(
        ours, batch_loss(theirs, theirs.label(held_out[0])), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("specials", "opening", "text", "learnt"),
    [
        (
            ("<s>", "</s>"),
            "USER:",
            "\nWhat is it?</s>ASSISTANT:A car.</s>USER:Where?</s>ASSISTANT:Left.</s>",
            "A car.</s>Left.</s>",
        ),
        (
            ("<|startoftext|>", "<|im_start|>", "<|im_end|>"),
            "<|im_start|>user\n",
            "\nWhat is it?<|im_end|>\n<|im_start|>assistant\nA car.<|im_end|>\n"
            "<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\nLeft.<|im_end|>\n",
            "A car.<|im_end|>\nLeft.<|im_end|>\n",
        ),
    ],
    ids=["vicuna", "yi"],
)
def test_conversations_are_written_as_each_size_learnt_them(
    tmp_path: Path, specials: tuple[str, ...], opening: str, text: str, learnt: str
) -> None:
    write_byte_tokenizer(tmp_path, specials)
    tokenizer = Tokenizer.load(tmp_path)
    turns = (
        Turn(question="What is it?", answer="A car."),
        Turn(question="Where?", answer="Left."),
    )
    labelled = write_conversation(tokenizer, turns, n_visual=3)
    visual = [idx for idx, token in enumerate(labelled.ids) if token == PLACEHOLDER_ID]
    first = visual[0]
    assert visual == [first, first + 1, first + 2]
    assert labelled.ids[:first] == tokenizer.opened(opening)
    rest, labels = labelled.ids[first + 3 :], labelled.labels
    assert tokenizer._inner.decode(rest, skip_special_tokens=False) == text
    taken = [token for token in labels if token != IGNORED_LABEL]
    assert tokenizer._inner.decode(taken, skip_special_tokens=False) == learnt


def test_the_sweep_has_a_held_out_loss_for_every_strength(trained: Path) -> None:
    table = json.loads((trained / pllava.SWEEP).read_text())
    assert list(table["held_out_loss"]) == ["0", "4", "32"]
    assert len(set(table["held_out_loss"].values())) == 3
    assert table["samples"] == 1


def test_a_stopped_run_resumes_to_the_same_weights(home: Path, trained: Path) -> None:
    output = settings(home / "stopped", pllava.CONFIG, **VALUES)
    for line in pllava.run(output, resume=False):
        if line.step >= 10:
            break
    list(pllava.run(output, resume=True))
    whole = load_net(trained / "model", CPU, torch.float32, alpha=32.0).state_dict()
    again = load_net(output / "model", CPU, torch.float32, alpha=32.0).state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
