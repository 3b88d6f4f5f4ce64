"""The number format of the weights where none is asked for."""

from pathlib import Path

import pytest
import torch

from engine.models import precision
from engine.models.precision import suitable_dtype


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of eight bytes."""
    (tmp_path / "model.safetensors").write_bytes(b"weights.")
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: True)
    return tmp_path


def test_large_models_run_in_bfloat16_where_the_cpu_multiplies_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    assert suitable_dtype(folder, cpu) == torch.float32
    monkeypatch.setattr(precision, "BF16_FROM_BYTES", 8)
    assert suitable_dtype(folder, cpu) == torch.bfloat16
    monkeypatch.setattr(precision, "multiplies_bf16", lambda: False)
    assert suitable_dtype(folder, cpu) == torch.float32


def test_accelerators_run_in_bfloat16(folder: Path) -> None:
    assert suitable_dtype(folder, torch.device("cuda")) == torch.bfloat16
