"""Experts that stay in their checkpoint until a token asks for them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import WeightsError
from engine.models.layers.allocation import materialise
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.experts import Expert, ExpertPool
from engine.models.layers.weights import (
    PICKLES,
    fill,
    headers_only,
    read_file,
    tensor_files,
)

EXPERT_NAMES = r"(.*\.)?experts\.each\..*"
"""Our names of all that belongs to experts, as a regular expression."""
_MARK = ".block_sparse_moe.experts."
_KEY_MAP = (
    ("*.w1.weight", "gate_up.gate.weight"),
    ("*.w3.weight", "gate_up.up.weight"),
    ("*.w2.weight", "down.weight"),
)


class ExpertFiles:
    """The experts of a sharded checkpoint, each read by itself.

    Args:
        folder: With `model*.safetensors`.
        config: Of the decoder.
        dtype: What weights are cast to.
    Raises:
        WeightsError: The weights are pickled, which cannot be read in parts.
    """

    def __init__(self, folder: Path, config: DecoderConfig, dtype: torch.dtype) -> None:
        self._folder, self._config, self._dtype = folder, config, dtype
        self._files = {key: path for key, path in tensor_files(folder).items() if _MARK in key}
        pickled = [path for path in self._files.values() if path.suffix in PICKLES]
        if pickled:
            raise WeightsError(
                f"experts cannot be read one by one from {pickled[0].name}",
                hint="convert the weights to safetensors, or hold all experts on the device",
            )

    def holds(self, key: str) -> bool:
        """Return whether a released name is an expert's."""
        return key in self._files

    def headers(self) -> Iterator[tuple[str, Tensor]]:
        """Return names and shapes of all experts, as meta tensors: for a strict check."""
        shapes = list[tuple[str, Tensor]]()
        with headers_only():
            for path in sorted(set(self._files.values())):
                shapes += read_file(path, wanted=self.holds)
        return iter(shapes)

    def read(self, depth: int, idx: int) -> Expert:
        """Read an expert to the CPU."""
        with torch.device("meta"):
            expert = Expert(self._config)
        materialise(expert, torch.device("cpu"), self._dtype)
        start = f"model.layers.{depth}{_MARK}{idx}."
        own = [key for key in self._files if key.startswith(start)]
        tensors = [
            (f"{idx}.{name.removeprefix(start)}", tensor)
            for path in sorted({self._files[key] for key in own})
            for name, tensor in read_file(path, wanted=lambda key: key.startswith(start))
        ]
        fill(expert, tensors, _KEY_MAP, source=str(self._folder))
        return expert.requires_grad_(False)

    def parameter(self, name: str) -> Tensor:
        """Read a parameter by our name of it, below any prefix."""
        parts = name.split(".")
        start = parts.index("layers")
        # layers.<depth>.experts.each.<idx>.<name of the parameter>
        depth, idx = int(parts[start + 1]), int(parts[start + 4])
        return self.read(depth, idx).get_parameter(".".join(parts[start + 5 :]))

    def attach(self, decoder: Decoder, budget: ExpertBudget, device: torch.device) -> ExpertPool:
        """Let a decoder fetch its experts from here, and keep some of them near."""
        pool = ExpertPool(self.read, budget, device)
        for depth, layer in enumerate(decoder.stack()):
            if layer.experts is not None:
                pool.attach(depth, layer.experts)
        return pool
