"""Recall of keys and values: placed in a KV cache, their keys rotated to fresh positions."""

from collections.abc import Sequence

import torch

from engine import device as devices
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.rotary import RopeFactors, apply_rope_
from engine.tensors import KvLatents

ROTATED_BYTES = 1 << 26
"""Bytes in float32 of the keys that are rotated at once; bounds what a recall needs beside them."""


def write_latents(
    decoder: Decoder,
    buffer: KvBuffer,
    sequences: Sequence[Sequence[KvLatents]],
    rope: RopeFactors | None = None,
) -> None:
    """Append chunks to a KV cache that has room, their keys rotated to their new positions.

    Args:
        decoder: Whose cache it is.
        buffer: Written to chunk by chunk, from wherever each one lies; keys are rotated in place.
        sequences: Chunks of each sequence of the batch, all as many latents.
        rope: Rotations of other positions than those that follow.
    """
    start = end = buffer.n
    for idx, chunks in enumerate(sequences):
        end = start
        for chunk in chunks:
            place = slice(end, end + chunk.n_latents)
            buffer.keys[:, idx, :, place].copy_(chunk.keys, non_blocking=True)
            buffer.values[:, idx, :, place].copy_(chunk.values, non_blocking=True)
            # The chunk may leave its tier before the copy has been made.
            devices.hold(chunk.keys)
            devices.hold(chunk.values)
            end = place.stop
    if rope is None:
        first = start + buffer.shift
        places = torch.arange(first, first + end - start, device=buffer.keys.device)
        rope = decoder.rope(places)
    fresh = buffer.keys[:, :, :, start:end]
    n_layers = max(1, ROTATED_BYTES // max(1, 4 * fresh[0].numel()))
    for keys in torch.split(fresh, n_layers):
        apply_rope_(keys, rope)
    buffer.n = end
