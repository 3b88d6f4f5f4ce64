"""The number format that suits device and checkpoint, where none is asked for.

Decision: bfloat16 on a CPU with instructions that multiply it (AMX, AVX512-BF16), for checkpoints
from `BF16_FROM_BYTES` on. Decided by flags and size and not by a probe at start, *because* the
choice shapes latents: a machine that is busy for a moment must not begin to write others.
*Measured* (`longwatch bench prefill`): see docs/benchmarks.md. nano stays in float32, in which its
figures were taken; its layers of 192 columns spend their time on calls, not on products.
"""

from pathlib import Path

import torch

from engine.models.layers.fingerprint import weight_files

BF16_FROM_BYTES = 64 << 20
"""Weights as they lie on disk. From some 500 columns on a product takes half the time at any
number of rows, 1 to 1,620; at 192 columns single rows take twice (2-core AMD EPYC, 2026-11-29)."""


def suitable_dtype(folder: Path, device: torch.device) -> torch.dtype:
    """Return the number format of the weights that is fast on a device.

    Args:
        folder: Of the checkpoint.
        device: That the model runs on.
    """
    if device.type != "cpu":
        return torch.bfloat16
    weight_bytes = sum(path.stat().st_size for path in weight_files(folder))
    if weight_bytes >= BF16_FROM_BYTES and multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def multiplies_bf16() -> bool:
    """Tell whether the CPU has instructions for products of bfloat16."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
