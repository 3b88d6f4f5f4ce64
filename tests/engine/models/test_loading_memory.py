"""Loading in fewer bits: never the whole in 16 bits, and the values that it would have been."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.evaluation.bench._process import in_fresh_process, peak_rss_bytes
from engine.models.layers.allocation import matrices_in
from engine.models.pllava.model import VARIANTS, write_tiny
from engine.models.pllava.net import Adapters, build, save_net
from engine.models.registry import families, load_family, load_model
from engine.records import WeightFormat
from tests.support.turned_matrices import turn_matrices

CPU = torch.device("cpu")


@pytest.mark.parametrize("weights", ["int8", "nf4"])
@pytest.mark.parametrize("family", families())
def test_a_net_that_is_turned_on_its_way_is_the_one_that_is_turned_afterwards(
    family: str, weights: WeightFormat, tmp_path: Path
) -> None:
    module = load_family(family)
    module.write_tiny(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        with matrices_in(weights):
            streamed = module.load_net(tmp_path, CPU, dtype)
        whole = module.load_net(tmp_path, CPU, dtype)
        turn_matrices(whole.decoder, weights)
        expected = dict(whole.named_parameters())
        found = dict(streamed.named_parameters())
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert value.dtype == expected[name].dtype, name
            assert torch.equal(value, expected[name]), name


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint of 400 MB in bfloat16, whose shards part every layer."""
    folder = tmp_path_factory.mktemp("large")
    write_tiny(folder)
    tiny = VARIANTS["tiny"]
    sizes = {"width": 1024, "mlp_width": 2816, "n_heads": 8, "n_kv_heads": 8, "head_dim": 128}
    config = replace(tiny, decoder=replace(tiny.decoder, n_layers=16, **sizes))
    net = build(config, CPU, torch.bfloat16)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(std=0.02)
    adapters = nn.ModuleList(Adapters(config.decoder, 2) for _ in range(16))
    save_net(net, adapters, folder, variant="large", n_shards=3)
    return folder


def grown_bytes(folder: Path, tiny: Path, weights: WeightFormat) -> int:
    """Return by how much loading a checkpoint makes this process larger at its peak."""
    load_model(tiny, device=CPU, dtype=torch.bfloat16, weights=weights)
    before = peak_rss_bytes()
    load_model(folder, device=CPU, dtype=torch.bfloat16, weights=weights)
    return peak_rss_bytes() - before


@pytest.mark.parametrize(("weights", "bytes_held"), [("int8", 1.0), ("nf4", 0.516)])
def test_loading_needs_the_size_that_is_held_and_little_beside_it(
    large: Path, tmp_path: Path, weights: WeightFormat, bytes_held: float
) -> None:
    write_tiny(tmp_path)
    stored_bytes = sum(path.stat().st_size for path in large.glob("model-*-of-00003.safetensors"))
    grown = in_fresh_process(grown_bytes, large, tmp_path, weights)
    held_bytes = stored_bytes * bytes_held / 2
    # What is mapped of a file, a matrix in bfloat16, and its work in float32.
    assert held_bytes < grown + (16 << 20)
    assert grown < held_bytes + (144 << 20)
    assert grown / stored_bytes < {"int8": 0.75, "nf4": 0.65}[weights]
