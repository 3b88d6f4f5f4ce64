"""The fingerprint of a large net is hashed once, and again when a file has changed."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.models.layers import fingerprint
from engine.models.layers.fingerprint import MEMO_NAME, fingerprint_weights


@pytest.fixture
def net_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as a large net's."""
    monkeypatch.setattr(fingerprint, "MEMO_FROM_BYTES", 1)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def test_the_kept_hash_is_that_of_the_weights(net_file: Path) -> None:
    net = nn.Linear(3, 2)
    plain = fingerprint_weights({}, net)
    assert fingerprint_weights({}, net, [net_file]) == plain
    assert (net_file.parent / MEMO_NAME).is_file()
    with torch.no_grad():
        net.weight.zero_()
    assert fingerprint_weights({}, net, [net_file]) == plain, "nothing on disk has changed"


def test_a_changed_file_is_hashed_anew(net_file: Path) -> None:
    net = nn.Linear(3, 2)
    before = fingerprint_weights({}, net, [net_file])
    with torch.no_grad():
        net.weight.zero_()
    os.utime(net_file, ns=(1, 1))
    assert fingerprint_weights({}, net, [net_file]) == fingerprint_weights({}, net) != before


def test_weights_of_16_bits_are_one_model_in_any_format(net_file: Path) -> None:
    net = nn.Linear(3, 2).to(torch.bfloat16)
    short = fingerprint_weights({}, net, [net_file])
    wide = fingerprint_weights({}, net.to(torch.float32), [net_file])
    assert short == wide


def test_weights_that_are_rounded_are_another_model(net_file: Path) -> None:
    net = nn.Linear(3, 2)
    single = fingerprint_weights({}, net, [net_file])
    assert fingerprint_weights({}, net.to(torch.bfloat16), [net_file]) != single


def test_long_parameters_are_hashed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(30, 20)
    whole = fingerprint_weights({}, net)
    monkeypatch.setattr(fingerprint, "HASHED_VALUES", 7)
    assert fingerprint_weights({}, net) == whole


def test_a_small_net_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    fingerprint_weights({}, nn.Linear(3, 2), [path])
    assert not (tmp_path / MEMO_NAME).exists()
