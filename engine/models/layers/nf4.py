"""Matrices of a decoder's layers in NF4: 4 bits, for memory that is shorter still.

A weight is one of 16 values, quantiles of a normal distribution, times the largest weight of its
block of 64; these scales are themselves held in 8 bits, in blocks of 256 around their mean. That
makes 0.516 bytes a weight. A product turns the matrix back for as long as it lasts, in the dtype of
the rows; on a card, kernels for few rows read the 4 bits themselves. Gradients pass through to the
rows, and the backward pass turns the matrix back once more instead of keeping it.

Source: arXiv:2305.14314 (NF4, double quantisation); the library is its authors'.

Decision: bitsandbytes, an extra of the package, *because* its kernels turn 4 bits back on CPUs and
cards, and torch alone has none. Its `Linear4bit` is left aside: on CPUs with AVX512-BF16 that
repacks weights in place, and rounds their scales to bfloat16. *Revisit when* torch has 4-bit
products of its own.

Decision: rows are filled up to whole blocks with zeros, *because* the library's kernel for AVX512
(0.50.2) takes the scales of a row from a whole number of blocks, and is wrong without one. Every
released width is a multiple of 64: nothing is filled up there.

Decision: the mean of the scales is summed in 64 bits, and the codes are made where the weights lie,
*because* the fingerprint of the model stands on their values, and a sum in 32 bits depends on the
number of threads. A card may still round a tie otherwise: that makes another model.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.errors import MissingCapabilityError
from engine.models.layers.fused_linear import FusedLinear

BLOCK = 64
"""Weights that share a scale; QLoRA's."""
SCALE_BLOCK = 256
"""Scales that share a scale of their own; the only number that the library's kernels take."""
WIDENED = 1 << 20
"""Weights that the library holds in 32 bits at once while they are turned."""
CPU = torch.device("cpu")


class Nf4Linear(nn.Module):
    """A linear layer, plain or fused, whose weights are indices of 4 bits and scales of 8.

    It stays in the number formats that it is made with: no cast of a whole net may follow.
    """

    def __init__(self, linear: nn.Linear) -> None:
        """Turn a layer's weights into NF4.

        Args:
            linear: Its bias is taken over.
        Raises:
            MissingCapabilityError: The package is not installed.
        """
        super().__init__()
        functional, weight = _library().functional, linear.weight.detach()
        self._n_filled = -linear.in_features % BLOCK
        self._shape = (len(weight), linear.in_features + self._n_filled)
        parts = [
            functional.quantize_4bit(
                F.pad(rows, (0, self._n_filled)), blocksize=BLOCK, quant_type="nf4"
            )
            # Blocks lie within rows, so that rows may be turned a few at a time.
            for rows in torch.split(weight, max(1, WIDENED // self._shape[1]))
        ]
        codes = torch.cat([part for part, _ in parts])
        largest = torch.cat([state.absmax for _, state in parts])
        offset = largest.double().mean().float()
        scales, of_scales = functional.quantize_blockwise(
            largest - offset, code=_scale_values(CPU), blocksize=SCALE_BLOCK
        )
        self.codes = nn.Parameter(codes, requires_grad=False)
        self.scales = nn.Parameter(scales, requires_grad=False)
        self.scales_of_scales = nn.Parameter(of_scales.absmax, requires_grad=False)
        # With an axis: torch shards no scalar over processes.
        self.offset = nn.Parameter(offset.view(1), requires_grad=False)
        self.bias = linear.bias
        self.in_features = linear.in_features
        self.parts = linear.parts if isinstance(linear, FusedLinear) else {"whole": len(weight)}
        """Rows of each part, in order."""

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Return the product of all rows."""
        # As autocast does it for torch's own products: the library's it does not know.
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        x = F.pad(x, (0, self._n_filled)) if self._n_filled else x
        bias = None if self.bias is None else self.bias.to(x.dtype)
        product: Tensor = _library().matmul_4bit(x, self.codes, self._state(x.dtype), bias=bias)
        return product

    def project_kv(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch inner"]:
        """Project to all parts but the first: k and v without q."""
        start = next(iter(self.parts.values()))
        bias = None if self.bias is None else self.bias[start:]
        return F.linear(x, self.restored(x.dtype)[start:], bias)

    def restored(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "inner width"]:
        """Return the matrix that the codes stand for."""
        matrix: Tensor = _library().functional.dequantize_4bit(self.codes, self._state(dtype))
        return matrix[:, : matrix.shape[1] - self._n_filled]

    def _state(self, dtype: torch.dtype) -> Any:
        """Return what the library needs beside the codes, for products in a dtype."""
        kind = _library().functional.QuantState
        of_scales = kind(
            absmax=self.scales_of_scales,
            code=_scale_values(self.codes.device),
            blocksize=SCALE_BLOCK,
            dtype=torch.float32,
        )
        return kind(
            absmax=self.scales,
            shape=self._shape,
            blocksize=BLOCK,
            quant_type="nf4",
            dtype=dtype,
            offset=self.offset[0],
            state2=of_scales,
        )


def _library() -> ModuleType:
    """Return the package.

    Raises:
        MissingCapabilityError: It is not installed.
    """
    # Late for its weight, and because it is an extra.
    try:
        with nullcontext() if "bitsandbytes" in sys.modules else _nothing_fetched():
            return import_module("bitsandbytes")
    except ImportError as error:
        raise MissingCapabilityError(
            "weights in NF4 need the package bitsandbytes", hint="pip install 'longwatch[nf4]'"
        ) from error


@contextmanager
def _nothing_fetched() -> Iterator[None]:
    """Keep an import of the package from fetching compiled code, and from warning that it did not.

    On CPUs with AVX512-BF16 it asks the package `kernels`, where that is installed, for code of the
    model hub; it serves `Linear4bit` alone.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    fetcher = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False
        del sys.modules["kernels"]
        if fetcher is not None:
            sys.modules["kernels"] = fetcher


@cache
def _scale_values(device: torch.device) -> Float32[Tensor, " code"]:
    """Return the 256 values that a scale can have, before its block's own scale."""
    values: Tensor = _library().functional.create_dynamic_map()
    return values.to(device)
