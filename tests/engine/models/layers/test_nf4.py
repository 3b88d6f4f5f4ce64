"""Matrices in NF4: how far off, their parts, their gradients, their number formats."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.nf4 import BLOCK, Nf4Linear

WIDEST_GAP = 1 - 0.6961928
"""Between the least two of the 16 values; the others lie closer together."""


# Blocks run on from row to row where rows are no multiple of them.
@pytest.mark.parametrize("shape", [(24, 48), (32, 64), (40, 130), (300, 256)])
def test_no_weight_errs_by_more_than_half_a_gap(shape: tuple[int, int]) -> None:
    linear = nn.Linear(shape[1], shape[0])
    with torch.no_grad():
        linear.weight[3] = 0.0
        linear.weight[5] *= 50
    stored = Nf4Linear(linear)
    error = (stored.restored() - linear.weight).abs().flatten()
    n_short = -error.numel() % BLOCK
    blocks = [
        nn.functional.pad(x, (0, n_short)).view(-1, BLOCK)
        for x in (error, linear.weight.flatten().detach())
    ]
    scales = blocks[1].abs().amax(1)
    # Scales themselves are off by their 8 bits, whose steps follow the largest of them.
    slack = 0.02 * float(scales.max())
    assert bool((blocks[0].amax(1) <= WIDEST_GAP / 2 * scales + slack).all())
    x = torch.randn(3, shape[1])
    expected = x @ stored.restored().T + linear.bias
    torch.testing.assert_close(stored(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_parts_of_a_fused_product_are_those_of_the_whole(bias: bool) -> None:
    fused = FusedLinear(16, {"q": 8, "k": 4, "v": 4}, bias=bias)
    stored, x = Nf4Linear(fused), torch.randn(5, 16)
    torch.testing.assert_close(stored.project_kv(x), stored(x)[:, 8:])


def test_gradients_pass_through_to_the_rows_alone() -> None:
    stored = Nf4Linear(nn.Linear(48, 24).requires_grad_(False))
    rows = torch.randn(2, 5, 48, requires_grad=True)
    plain = rows.detach().clone().requires_grad_()
    weights = torch.randn(2, 5, 24)
    (stored(rows) * weights).sum().backward()
    (plain @ stored.restored().T * weights).sum().backward()
    torch.testing.assert_close(rows.grad, plain.grad)
    assert all(parameter.grad is None for parameter in stored.parameters())


def test_a_product_keeps_no_matrix_for_the_backward_pass() -> None:
    stored, rows = Nf4Linear(nn.Linear(256, 512)), torch.randn(1, 256, requires_grad=True)
    kept = list[int]()

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        stored(rows)
    assert sum(kept) < 512 * 256


def test_products_are_in_the_dtype_of_the_rows_or_of_autocast() -> None:
    stored, rows = Nf4Linear(nn.Linear(48, 24)), torch.randn(3, 48)
    assert stored(rows).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        rounded = stored(rows)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), stored(rows), atol=0.05, rtol=0.05)


def test_codes_do_not_depend_on_the_number_of_threads() -> None:
    linear, n_threads = nn.Linear(640, 512), torch.get_num_threads()
    first = Nf4Linear(linear).state_dict()
    try:
        torch.set_num_threads(1 + n_threads)
        again = Nf4Linear(linear).state_dict()
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(again[name], value) for name, value in first.items())


def test_code_of_the_model_hub_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("raise SystemExit('asked for code of the hub')")
    script = (
        "from torch import nn; from engine.models.layers.nf4 import Nf4Linear; "
        "Nf4Linear(nn.Linear(64, 2)); import sys; assert 'kernels' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
