"""A command that asks and ends leaves a part of torch out, which is there when it is needed."""

import subprocess
import sys

_CODE = """
import sys
from app.cli.torch_start import LATE, load_late

load_late()
load_late()
import torch
from torch import nn

state = vars(sys.modules[LATE])
print("left out:", "activate_meta" not in state)
with torch.device("meta"):
    net = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Embedding(4, 3), nn.Conv2d(3, 1, 2))
print("weights:", sum(weight.numel() for weight in net.parameters()))
print("left out:", "activate_meta" not in state)

from torch._meta_registrations import activate_meta

print("loaded:", callable(activate_meta), type(sys.modules[LATE]).__name__)
print("shape:", tuple(torch.ops.aten.linalg_cross(*torch.empty(2, 4, 3, device="meta")).shape))
print("finders:", sum("app." in type(finder).__module__ for finder in sys.meta_path))
"""


def test_kernels_for_tensors_without_memory_load_at_their_first_use() -> None:
    ran = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == [
        "left out: True",
        "weights: 40",
        "left out: True",
        "loaded: True module",
        "shape: (4, 3)",
        "finders: 1",
    ], ran.stderr
