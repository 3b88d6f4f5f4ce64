"""The stored form of latents: as they are, or as small integers on a grid for each channel."""

import torch
from torch import Tensor

from engine.cache.quantise import BITS, quantise, restore
from engine.records import Storage
from engine.tensors import KvLatents, Latents, PackedLatents, TokenLatents

_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.float16)}
_DTYPES["bfloat16"] = torch.bfloat16
_PLACES = "places"
"""Rows and columns of latents: whole numbers in every storage."""


def pack(latents: Latents, storage: Storage) -> PackedLatents:
    """Bring latents into stored form, on the device they are on.

    Raises:
        ValueError: Their dtype has no stored form.
    """
    parts = _parts(latents)
    dtype = str(next(iter(parts.values())).dtype).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise ValueError(f"latents must be one of {', '.join(_DTYPES)}, not {dtype}")
    packed: dict[str, Tensor] = {}
    for name, tensor in parts.items():
        if storage == "native":
            packed[name] = tensor.detach().contiguous()
        else:
            codes, step, zero = quantise(tensor.detach().float(), BITS[storage])
            packed |= {name: codes, f"{name}.step": step, f"{name}.zero": zero}
    if latents.places is not None:
        packed[_PLACES] = latents.places.contiguous()
    return PackedLatents(
        storage=storage,
        dtype=dtype,
        n_latents=latents.n_latents,
        tensors=tuple(sorted(packed.items())),
    )


def unpack(packed: PackedLatents, device: torch.device) -> Latents:
    """Return latents in the dtype they were packed from; equal on every device, bit for bit."""
    dtype = _DTYPES[packed.dtype]
    tensors = {name: tensor.to(device, non_blocking=True) for name, tensor in packed.tensors}
    parts = {
        name: _unpacked(packed, tensors, name).to(dtype)
        for name in tensors
        if "." not in name and name != _PLACES
    }
    places = tensors.get(_PLACES)
    if "keys" in parts:
        return KvLatents(keys=parts["keys"], values=parts["values"], places=places)
    return TokenLatents(embeddings=parts["embeddings"], places=places)


def _parts(latents: Latents) -> dict[str, Tensor]:
    if isinstance(latents, KvLatents):
        return {"keys": latents.keys, "values": latents.values}
    return {"embeddings": latents.embeddings}


def _unpacked(packed: PackedLatents, tensors: dict[str, Tensor], name: str) -> Tensor:
    if packed.storage == "native":
        return tensors[name]
    if f"{name}.scale" in tensors:
        # The first 8-bit form, symmetric: nothing that was ingested is lost.
        return tensors[name].float() * tensors[f"{name}.scale"]
    return restore(
        tensors[name],
        tensors[f"{name}.step"],
        tensors[f"{name}.zero"],
        bits=BITS[packed.storage],
        n_latents=packed.n_latents,
    )
