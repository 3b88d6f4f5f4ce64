"""Choice of the next id from logits: the likeliest one, or a seeded draw."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from engine import device as devices
from engine.protocols import Sampling


class Picker:
    """Draws ids where the logits are; the host gives only the noise, so that a seed repeats.

    Args:
        sampling: Greedy at temperature 0.
        like: Logits of one step, for their size and device.
    """

    def __init__(self, sampling: Sampling, like: Float[Tensor, " vocab"]) -> None:
        self._sampling = sampling
        # On the CPU, whose generator gives the same numbers beside any accelerator.
        self._random = torch.Generator().manual_seed(sampling.seed)
        self._noise = (
            None
            if sampling.temperature == 0
            else torch.empty(like.shape, dtype=torch.float32, device=like.device)
        )

    def draw_noise(self) -> None:
        """Draw what the next choice needs."""
        if self._noise is not None:
            fresh = torch.empty(self._noise.shape).exponential_(generator=self._random)
            self._noise.copy_(devices.upload(fresh, self._noise.device), non_blocking=True)

    def pick(self, logits: Float[Tensor, " vocab"]) -> Int64[Tensor, ""]:
        """Choose an id."""
        if self._noise is None:
            return logits.argmax()
        probabilities = (logits.float() / self._sampling.temperature).softmax(-1)
        ranked, order = probabilities.sort(descending=True)
        # An id stays while the mass before it is below top_p, so the likeliest always stays.
        ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= self._sampling.top_p, 0.0)
        # The largest of chances over exponential noise is a draw: how `torch.multinomial` makes
        # one, written out because that one reads a number of the device.
        return order[(ranked / self._noise).argmax()]
