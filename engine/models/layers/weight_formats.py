"""Matrices of a decoder's layers in fewer bits than the model's dtype has.

Embedding, head, norms, biases and a router stay as they were, and so do towers and connectors.
"""

from collections.abc import Callable, Mapping

from torch import nn

from engine.models.layers.int8 import Int8Linear
from engine.models.layers.nf4 import Nf4Linear
from engine.records import WeightFormat

KINDS: Mapping[WeightFormat, Callable[[nn.Linear], nn.Module]] = {
    "int8": Int8Linear,
    "nf4": Nf4Linear,
}


def is_turned(name: str, module: nn.Module) -> bool:
    """Say whether a module of a decoder's layers, of that name, is turned into a format."""
    return isinstance(module, nn.Linear) and name != "router"
