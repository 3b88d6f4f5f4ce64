"""The stored form of latents: as they are, or 8-bit integers with scales."""

import torch
from torch import Tensor

from engine.records import Storage
from engine.tensors import KvLatents, Latents, PackedLatents, TokenLatents

_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.float16)}
_DTYPES["bfloat16"] = torch.bfloat16


def pack(latents: Latents, storage: Storage) -> PackedLatents:
    """Bring latents into stored form, on the device they are on.

    Raises:
        ValueError: Their dtype has no stored form.
    """
    parts = _parts(latents)
    dtype = str(next(iter(parts.values()))[0].dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ValueError(f"latents must be one of {', '.join(_DTYPES)}, not {dtype}")
    packed: dict[str, Tensor] = {}
    for name, (tensor, scaled_over) in parts.items():
        if storage == "native":
            packed[name] = tensor.detach().contiguous()
        else:
            packed[name], packed[f"{name}.scale"] = _quantise(tensor.detach(), scaled_over)
    return PackedLatents(storage=storage, dtype=dtype, tensors=tuple(sorted(packed.items())))


def unpack(packed: PackedLatents, device: torch.device) -> Latents:
    """Return latents in the dtype they were packed from; equal on every device, bit for bit."""
    dtype = _DTYPES[packed.dtype]
    tensors = {name: tensor.to(device, non_blocking=True) for name, tensor in packed.tensors}
    parts = {
        name: (tensor.float() * tensors[f"{name}.scale"]).to(dtype)
        if packed.storage == "int8"
        else tensor
        for name, tensor in tensors.items()
        if not name.endswith(".scale")
    }
    if "keys" in parts:
        return KvLatents(keys=parts["keys"], values=parts["values"])
    return TokenLatents(embeddings=parts["embeddings"])


def _parts(latents: Latents) -> dict[str, tuple[Tensor, int]]:
    """Return each tensor by name, with the axis that shares one scale."""
    if isinstance(latents, KvLatents):
        return {"keys": (latents.keys, 2), "values": (latents.values, 3)}
    return {"embeddings": (latents.embeddings, 1)}


def _quantise(tensor: Tensor, scaled_over: int) -> tuple[Tensor, Tensor]:
    """Return symmetric 8-bit integers and their float32 scales."""
    wide = tensor.float()
    scale = wide.abs().amax(dim=scaled_over, keepdim=True) / 127
    # A row of zeros has no scale of its own; 1 keeps it zero.
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return (wide / scale).round().clamp(-127, 127).to(torch.int8).contiguous(), scale.contiguous()
