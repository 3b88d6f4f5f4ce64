"""Mixture of experts in place of a decoder layer's MLP, as Mixtral has it.

A router picks a few experts for each token; their outputs are added by the router's weights. Few
of the weights are used for a token, and all of them at some time: experts may therefore lie on the
device, in main memory or on disk, by a budget, and come near when a token asks for them.

Decision: what is not near is read from the checkpoint itself, *because* a copy of our own would
double 90 GB on disk. *Revisit when* somebody measured a disk that is the bottleneck.
Source: arXiv:2401.04088; the order of operations is that of transformers 5.24.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.products import Linear


class Expert(nn.Module):
    """One gated MLP, without a norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.gate_up = FusedLinear(
            config.width, {"gate": config.mlp_width, "up": config.mlp_width}, bias=False
        )
        self.down = Linear(config.mlp_width, config.width, bias=False)

    def forward(self, rows: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """Run the tokens that chose this expert."""
        gate, up = self.gate_up(rows).chunk(2, -1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class Experts(nn.Module):
    """The router of one layer and its experts."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.n_chosen = config.experts_per_token
        self.router = Linear(config.width, config.n_experts, bias=False)
        self.each = nn.ModuleList(Expert(config) for _ in range(config.n_experts))
        self.fetch: Callable[[int], nn.Module] | None = None
        """Brings an expert near, where a budget leaves some of them away."""

    def route(
        self, rows: Float[Tensor, "row width"]
    ) -> tuple[Float32[Tensor, "row chosen"], Int64[Tensor, "row chosen"]]:
        """Return the weights and the numbers of each token's experts; weights sum to 1."""
        shares = self.router(rows).softmax(-1, dtype=torch.float32)
        weights, chosen = shares.topk(self.n_chosen, -1)
        return weights / weights.sum(-1, keepdim=True), chosen

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Add up what each token's experts make of it.

        Cost: the host waits for the router's choice, once a layer.
        """
        rows = x.reshape(-1, x.shape[-1])
        weights, chosen = self.route(rows)
        total = torch.zeros_like(rows)
        for idx in sorted(set(chosen.flatten().tolist())):
            row, rank = (chosen == idx).nonzero(as_tuple=True)
            expert = self.each[idx] if self.fetch is None else self.fetch(idx)
            part = expert(rows[row]) * weights[row, rank, None]
            total = total.index_add(0, row, part.to(total.dtype))
        return total.view_as(x)


class ExpertPool:
    """The experts of a decoder that are near: least recently used ones leave first.

    Args:
        read: Reads an expert of a layer from the checkpoint to the CPU, in the model's format.
        budget: Bytes on the device and in main memory.
        device: That the model runs on.

    Answers in several threads share it.
    """

    def __init__(
        self, read: Callable[[int, int], Expert], budget: ExpertBudget, device: torch.device
    ) -> None:
        self._read, self._device = read, device
        self._near = _Tier(budget.device_bytes)
        self._host = _Tier(0 if device.type == "cpu" else budget.host_bytes)
        self._changes = threading.Lock()
        self.n_read = 0
        """Experts read from disk so far."""

    def attach(self, depth: int, experts: Experts) -> None:
        """Let a layer fetch its experts here."""
        experts.fetch = lambda idx: self.take(depth, idx)

    def take(self, depth: int, idx: int) -> Expert:
        """Return an expert on the device; whoever holds it keeps it from going away."""
        key = (depth, idx)
        with self._changes:
            expert = self._near.get(key)
            if expert is not None:
                return expert
            expert = self._host.get(key)
            if expert is None:
                expert = self._read(depth, idx)
                self.n_read += 1
                self._host.put(key, expert)
            if self._device.type != "cpu":
                expert = _copied(expert, self._device)
            self._near.put(key, expert)
            return expert


class _Tier:
    """Experts in one kind of memory, by their last use."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._used_bytes = limit_bytes, 0
        self._held: OrderedDict[tuple[int, int], Expert] = OrderedDict()

    def get(self, key: tuple[int, int]) -> Expert | None:
        expert = self._held.get(key)
        if expert is not None:
            self._held.move_to_end(key)
        return expert

    def put(self, key: tuple[int, int], expert: Expert) -> None:
        """Take an expert in, unless it is larger than everything."""
        nbytes = _bytes_of(expert)
        if nbytes > self._limit_bytes:
            return
        while self._used_bytes + nbytes > self._limit_bytes:
            _, leaving = self._held.popitem(last=False)
            self._used_bytes -= _bytes_of(leaving)
        self._held[key] = expert
        self._used_bytes += nbytes


def _bytes_of(expert: Expert) -> int:
    return sum(parameter.nbytes for parameter in expert.parameters())


def _copied(expert: Expert, device: torch.device) -> Expert:
    """Copy an expert to a device; the one that is given stays where it is."""
    with torch.device("meta"):
        copy = Expert(expert.config)
    for ours, theirs in ((copy.gate_up, expert.gate_up), (copy.down, expert.down)):
        weight = theirs.weight.to(device, non_blocking=True)
        ours.weight = nn.Parameter(weight, requires_grad=False)
    return copy
