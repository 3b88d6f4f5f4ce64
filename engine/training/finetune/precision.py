"""The precision of a fine-tuning run, by its settings and its device."""

import torch
from torch import nn

from engine.training.finetune.settings import TuningConfig


def uses_bf16(config: TuningConfig, device: torch.device) -> bool:
    """Say whether a run's products are in bfloat16: by its settings, or else where it is fast."""
    return has_fast_bf16(device) if config.bf16 is None else config.bf16


def plans_bf16(config: TuningConfig) -> bool:
    """Say the same of the card that a memory plan is for: all of them are built for it."""
    return config.bf16 is not False


def holds_bf16(device: torch.device, *, is_bf16: bool) -> bool:
    """Say whether what does not learn is held in bfloat16: where memory is short, if products are.

    Small models on a CPU lose nothing.
    """
    return is_bf16 and device.type == "cuda"


def round_frozen(root: nn.Module) -> None:
    """Turn the matrices that do not learn into bfloat16, in place.

    Vectors, and what is added to rows as it is, such as a tower's positions, stay as they are:
    they are small, and norms are computed in their dtype. A run exports the matrices as they were
    read, not as they are now.
    """
    for name, weight in root.named_parameters():
        if name.endswith("weight") and weight.ndim > 1 and not weight.requires_grad:
            weight.data = weight.data.bfloat16()


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether a device computes products faster in bfloat16 than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
