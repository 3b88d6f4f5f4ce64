"""Low-rank adapters fused into the weights they adapt, with a strength chosen at load time.

An adapted weight is `W + (alpha / rank) B A`. Adapters are told apart by their names as peft
writes them, with or without the adapter's own name (`default`) in the key.

Source: arXiv:2106.09685; the load-time strength is arXiv:2404.16994 section 3.4.
"""

import re
from collections.abc import Iterable, Iterator

from jaxtyping import Float
from torch import Tensor

from engine.errors import WeightsError

_PART = re.compile(r"(?P<owner>.+)\.(?P<part>lora_A|lora_B)(?:\.\w+)?\.weight")
_BASE = re.compile(r"\.base_layer(?=\.(?:weight|bias)$)")


def fuse_weight(
    base: Float[Tensor, "out in"],
    down: Float[Tensor, "rank in"],
    up: Float[Tensor, "out rank"],
    alpha: float,
) -> Float[Tensor, "out in"]:
    """One adapted weight, summed in float32 and returned in the base's dtype.

    Args:
        base: The weight before adaptation.
        down: Upstream's A.
        up: Upstream's B.
        alpha: Strength; 0 is the base itself, the training value the full adapter.
    """
    if alpha == 0:
        return base
    fused = base.float() + alpha / down.shape[0] * (up.float() @ down.float())
    return fused.to(base.dtype)


def fuse(
    tensors: Iterable[tuple[str, Tensor]], alpha: float, *, source: str
) -> Iterator[tuple[str, Tensor]]:
    """Replace every adapted weight by its fused one; the others pass through.

    A base may be named `X.base_layer.weight` or `X.weight`, and parts may come in any order, so
    adapters may lie in a file of their own behind a plain checkpoint.

    Args:
        tensors: Names and tensors as stored.
        alpha: Strength of the adapters.
        source: What to call the checkpoint in an error.
    Raises:
        WeightsError: Half of an adapter is missing, or the weight that it adapts.
    Cost: holds the tensors seen so far, since a weight's adapter may come last.
    """
    plain, halves = dict[str, Tensor](), dict[str, dict[str, Tensor]]()
    for key, tensor in tensors:
        match = _PART.fullmatch(key)
        if match is None:
            plain[_BASE.sub("", key)] = tensor
        else:
            halves.setdefault(match["owner"], {})[match["part"]] = tensor
    for owner, parts in halves.items():
        name = f"{owner}.weight"
        missing = [part for part in ("lora_A", "lora_B") if part not in parts]
        if name not in plain or missing:
            lacks = f"{owner}.{missing[0]}" if missing else name
            raise WeightsError(f"{source} does not fit; an adapter of {name} lacks {lacks}")
        plain[name] = fuse_weight(plain[name], parts["lora_A"], parts["lora_B"], alpha)
    yield from plain.items()
