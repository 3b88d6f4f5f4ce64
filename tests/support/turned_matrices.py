"""The slow way to fewer bits: a decoder that is whole, and its matrices turned afterwards."""

from torch import nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.weight_formats import KINDS, is_turned
from engine.records import WeightFormat


def turn_matrices(decoder: Decoder, weights: WeightFormat) -> None:
    """Turn the matrices of a decoder's layers into a format, in place."""
    if weights == "native":
        return
    for owner in list(decoder.layers.modules()):
        for name, child in list(owner.named_children()):
            if is_turned(name, child):
                assert isinstance(child, nn.Linear)
                setattr(owner, name, KINDS[weights](child))
