"""Low-rank adapters fused into the weights they adapt, with a strength chosen at load time.

An adapted weight is `W + (alpha / rank) B A`. Adapters are told apart by their names as peft
writes them, with or without the adapter's own name (`default`) in the key.

Source: arXiv:2106.09685; the load-time strength is arXiv:2404.16994 section 3.4.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from engine.errors import WeightsError

_PART = re.compile(r"(?P<owner>.+)\.lora_(?P<side>[AB])(?:\.\w+)?\.weight")
_BASE = re.compile(r"\.base_layer(?=\.(?:weight|bias)$)")


@dataclass(frozen=True, slots=True)
class Adapter:
    """Low-rank change that training added to one weight."""

    down: Float[Tensor, "rank in"]
    """Upstream's A."""
    up: Float[Tensor, "out rank"]
    """Upstream's B."""

    def fuse(self, base: Float[Tensor, "out in"], alpha: float) -> Float[Tensor, "out in"]:
        """Return the adapted weight, summed in float32, in the base's dtype.

        Args:
            base: The weight before adaptation.
            alpha: Strength; 0 is the base itself, the training value the full adapter.
        """
        if alpha == 0:
            return base
        fused = base.float() + alpha / self.down.shape[0] * (self.up.float() @ self.down.float())
        return fused.to(base.dtype)


def is_adapter(key: str) -> bool:
    """Tell whether a stored tensor is half of an adapter."""
    return _PART.fullmatch(key) is not None


def bare(key: str) -> str:
    """Return the name that a tensor had before it was adapted."""
    return _BASE.sub("", key)


def adapters(tensors: Iterable[tuple[str, Tensor]], *, source: str) -> dict[str, Adapter]:
    """Collect adapters by the bare name of the weight they adapt.

    Args:
        tensors: Halves of adapters, in any order; others are passed over.
        source: What to call the checkpoint in an error.
    Raises:
        WeightsError: Half of an adapter is missing.
    """
    halves = dict[str, dict[str, Tensor]]()
    for key, tensor in tensors:
        match = _PART.fullmatch(key)
        if match is not None:
            halves.setdefault(f"{match['owner']}.weight", {})[match["side"]] = tensor
    for name, sides in halves.items():
        if len(sides) < 2:
            lost = "B" if "A" in sides else "A"
            raise WeightsError(f"{source} does not fit; {name} has an adapter without lora_{lost}")
    return {name: Adapter(sides["A"], sides["B"]) for name, sides in halves.items()}


def fuse(
    tensors: Iterable[tuple[str, Tensor]],
    adapted: Mapping[str, Adapter],
    alpha: float,
    *,
    source: str,
) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor under its bare name, adapted ones fused, without halves of adapters.

    Args:
        tensors: Names and tensors as stored, plain or wrapped, one at a time.
        adapted: From `adapters`, under the same bare names.
        alpha: Strength.
        source: What to call the checkpoint in an error.
    Raises:
        WeightsError: An adapter's weight is not among the tensors.
    """
    left = dict(adapted)
    for key, tensor in tensors:
        if is_adapter(key):
            continue
        adapter = left.pop(bare(key), None)
        yield bare(key), tensor if adapter is None else adapter.fuse(tensor, alpha)
    if left:
        raise WeightsError(f"{source} does not fit; it adapts {next(iter(left))}, which is missing")
