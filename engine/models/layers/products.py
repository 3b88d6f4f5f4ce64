"""Matrix products of layers, by the library that is fastest on the processor at hand.

Decision: on processors with AVX-512 that are not Intel's, products in float32 go to oneDNN.
*Because* torch gives them to MKL, which keeps to AVX2 there: of 1,620 rows by 1,024 x 4,096 the
one computes 220 GFLOP/s a core, the other 101, and in neither does a row's result depend on the
rows beside it (two cores of an AMD EPYC, torch 2.13, 2026-12-01). *Revisit when* torch chooses by
itself.

Decision: only matrices whose rows follow each other go there. *Because* its operation reads a bias
with gaps as one without, and takes 26 s for 300 rows by a 8,192 x 512 that is cut out of wider
rows, where torch takes 15 ms.
"""

import platform
from functools import cache
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEAST_PRODUCTS: Final = 1 << 21
"""Multiplications from which oneDNN's setup of a call, some 10 microseconds, is won back."""


class Linear(nn.Linear):
    """A linear layer whose product is `linear`'s; its weights and their names are torch's."""

    def forward(self, input: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Project the last axis."""
        return linear(input, self.weight, self.bias)


def linear(
    x: Float[Tensor, "*batch width"], weight: Float[Tensor, "inner width"], bias: Tensor | None
) -> Float[Tensor, "*batch inner"]:
    """Compute `x @ weight.T + bias`, as torch's function of this name does.

    Args:
        x: Rows.
        weight: In the dtype of the rows.
        bias: Of width `inner`, if any.
    """
    if not _suits_onednn(x, weight, bias):
        return F.linear(x, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def add_linear(
    x: Float[Tensor, "row inner"], rows: Float[Tensor, "row width"], weight: Tensor
) -> Float[Tensor, "row inner"]:
    """Compute `x + rows @ weight.T` in one operation."""
    if not _suits_onednn(rows, weight):
        return torch.addmm(x, rows, weight.t())
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(rows, x, weight, None, "add")
    return out


def _suits_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() * weight.shape[0] >= LEAST_PRODUCTS
        and weight.is_contiguous()
        and (bias is None or (bias.dtype == x.dtype and bias.is_contiguous()))
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and _prefers_onednn()
    )


@cache
def _prefers_onednn() -> bool:
    """Tell whether torch's other library leaves half of this processor unused."""
    return (
        torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and _vendor() not in ("", "GenuineIntel")
    )


def _vendor() -> str:
    """Return the vendor of an x86 processor as it names itself; empty where that is not known."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    words = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in words if key.strip() == "vendor_id"), "")
