"""Latents in few bits: each channel of a chunk has a grid of its own.

A channel is quantised over the latents of its chunk, with a step and a zero point (keys *and*
values: in video the channels of values differ more than its latents do, VidKV, arXiv 2503.16257).
The zero point takes off whatever all latents of a channel share. A bias of hundreds, as Qwen2's
keys have it in the first and last layer, therefore costs nothing: by construction, whichever model
it is. Steps are powers of 2^(1/8), so one byte tells them.
"""

import math
from typing import Final

import torch
from jaxtyping import Float32, Int16, UInt8
from torch import Tensor

BITS: Final = {"int8": 8, "int4": 4, "int3": 3}

_STEPS_PER_OCTAVE = 8
_UNIT = 160
"""The step 1 is this byte: steps reach from 2^-20 to 2^11.9."""
_MOST_ZERO = 32_000
"""Largest zero point, in steps; a 16-bit integer with room for the codes."""
_CODES_PER_GROUP = 8
"""Eight codes of n bits fill n bytes."""


def quantise(
    values: Float32[Tensor, "*batch latent channel"], bits: int
) -> tuple[
    UInt8[Tensor, "*batch byte channel"],
    UInt8[Tensor, "*batch 1 channel"],
    Int16[Tensor, "*batch 1 channel"],
]:
    """Return codes packed over the latents, and step and zero point of each channel.

    No value errs by more than half a step, which is at most 1.1 times the channel's range over
    2^bits - 1; a channel whose values are all equal errs by at most 1 in 60,000 of them.
    """
    most_code = 2**bits - 1
    low, high = values.amin(dim=-2, keepdim=True), values.amax(dim=-2, keepdim=True)
    largest = torch.maximum(low.abs(), high.abs())
    least_step = torch.maximum((high - low) / most_code, largest / _MOST_ZERO)
    exponent = torch.ceil(torch.log2(least_step) * _STEPS_PER_OCTAVE) + _UNIT
    exponent = exponent.nan_to_num(neginf=0.0).clamp(0, 255).to(torch.uint8)
    step = step_of(exponent)
    # The grid's middle on the range's: then both ends lie within half a step of a point.
    zero = torch.round((low + high) / 2 / step - most_code / 2)
    codes = (torch.round(values / step) - zero).clamp(0, most_code).to(torch.uint8)
    return _pack(codes, bits), exponent, zero.to(torch.int16)


def restore(
    packed: UInt8[Tensor, "*batch byte channel"],
    exponent: UInt8[Tensor, "*batch 1 channel"],
    zero: Int16[Tensor, "*batch 1 channel"],
    *,
    bits: int,
    n_latents: int,
) -> Float32[Tensor, "*batch latent channel"]:
    """Return the values that `quantise` came nearest to."""
    codes = _unpack(packed, bits, n_latents)
    return (codes + zero).float() * step_of(exponent)


def step_of(exponent: UInt8[Tensor, "..."]) -> Float32[Tensor, "..."]:
    """Return steps by their bytes; equal on every device, because the table is made on one."""
    octaves = [2.0 ** ((byte - _UNIT) / _STEPS_PER_OCTAVE) for byte in range(256)]
    return torch.tensor(octaves, dtype=torch.float32, device=exponent.device)[exponent.long()]


def packed_bytes(n_latents: int, bits: int) -> int:
    """Return the bytes of one channel's codes."""
    return math.ceil(n_latents / _CODES_PER_GROUP) * bits


def _pack(codes: Tensor, bits: int) -> Tensor:
    """Pack codes over the last axis but one; latents are filled up to whole groups with zeros."""
    *batch, n_latents, n_channels = codes.shape
    n_groups = math.ceil(n_latents / _CODES_PER_GROUP)
    full = codes.new_zeros(*batch, n_groups * _CODES_PER_GROUP, n_channels)
    full[..., :n_latents, :] = codes
    grouped = full.view(*batch, n_groups, _CODES_PER_GROUP, n_channels)
    if bits == 8:
        return full.contiguous()
    packed = codes.new_zeros(*batch, n_groups, bits, n_channels, dtype=torch.int32)
    for idx in range(_CODES_PER_GROUP):
        byte, shift = divmod(idx * bits, 8)
        code = grouped[..., idx, :].to(torch.int32) << shift
        packed[..., byte, :] |= code & 255
        if shift + bits > 8:
            packed[..., byte + 1, :] |= code >> 8
    return packed.to(torch.uint8).view(*batch, n_groups * bits, n_channels)


def _unpack(packed: Tensor, bits: int, n_latents: int) -> Tensor:
    """Return codes as 16-bit integers."""
    if bits == 8:
        return packed[..., :n_latents, :].to(torch.int16)
    *batch, n_bytes, n_channels = packed.shape
    grouped = packed.view(*batch, n_bytes // bits, bits, n_channels).to(torch.int16)
    codes = []
    for idx in range(_CODES_PER_GROUP):
        byte, shift = divmod(idx * bits, 8)
        code = grouped[..., byte, :] >> shift
        if shift + bits > 8:
            code = code | (grouped[..., byte + 1, :] << (8 - shift))
        codes.append(code & (2**bits - 1))
    return torch.stack(codes, dim=-2).view(*batch, -1, n_channels)[..., :n_latents, :]
