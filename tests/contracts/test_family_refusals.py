"""Checkpoints of every family with something changed: honoured or refused, never passed over."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import WeightsError
from engine.models.registry import check_headers, families, load_family, load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=families())
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete tiny checkpoint."""
    folder = tmp_path_factory.mktemp(request.param) / "tiny"
    load_family(request.param).write_tiny(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "tiny"))


def load(folder: Path) -> None:
    load_model(folder, device=CPU, dtype=torch.float32)


def configs(folder: Path, pattern: str = "config.json") -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.rglob(pattern)):
        yield path, json.loads(path.read_text())


def change_decoder(folder: Path, fields: Mapping[str, Any]) -> Path:
    """Set fields of the decoder, wherever a family keeps them; return the folder where it does."""
    for path, config in configs(folder):
        for part in (config, config.get("text_config", {})):
            if "rms_norm_eps" in part:
                part.update(fields)
                path.write_text(json.dumps(config))
                return path.parent
    raise AssertionError("no config of a decoder")


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_act": "gelu"},
        {"use_sliding_window": True, "sliding_window": 8},
        {"partial_rotary_factor": 0.5},
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}, "rope_scaling": None},
        {"layer_types": ["sliding_attention", "full_attention"]},
        {"num_attention_heads": 0},
        {"num_key_value_heads": 3},
        {"hidden_size": "wide"},
        {"num_hidden_layers": None},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_decoder_that_would_compute_something_else_is_refused(
    folder: Path, fields: dict[str, Any]
) -> None:
    change_decoder(folder, fields)
    with pytest.raises(WeightsError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"), [("do_normalize", False), ("rescale_factor", 1.0), ("resample", 0)]
)
def test_frames_that_would_be_prepared_otherwise_are_refused(
    folder: Path, field: str, value: object
) -> None:
    for path, config in configs(folder, "*preprocessor_config.json"):
        path.write_text(json.dumps(config | {field: value}))
    with pytest.raises(WeightsError, match=field):
        load(folder)


def test_codes_in_the_place_of_weights_are_refused(folder: Path) -> None:
    path = max(folder.rglob("model*.safetensors"), key=lambda path: path.stat().st_size)
    tensors = load_file(path)
    name = max(tensors, key=lambda name: tensors[name].numel())
    save_file(tensors | {name: tensors[name].to(torch.int8)}, path, metadata={"format": "pt"})
    for check in (load, check_headers):
        with pytest.raises(WeightsError, match="whole numbers"):
            check(folder)


def test_a_quantised_release_is_refused_by_its_method(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"quantization_config": {"quant_method": "fp8"}}))
    for check in (load, check_headers):
        with pytest.raises(WeightsError, match="quantised by fp8"):
            check(folder)


def test_a_missing_or_torn_file_of_weights_is_refused(folder: Path) -> None:
    for path in sorted(change_decoder(folder, {}).glob("model*.safetensors")):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(WeightsError, match="cannot be read"):
            load(folder)
        path.unlink()
        with pytest.raises(WeightsError):
            load(folder)
        path.write_bytes(content)


def test_a_surplus_key_is_refused(folder: Path) -> None:
    path = next(iter(sorted(folder.rglob("model*.safetensors"))))
    tensors = load_file(path) | {"model.layers.0.self_attn.sinks": torch.zeros(2)}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="sinks"):
        load(folder)


def test_a_head_of_its_own_beside_a_tie_is_refused(folder: Path) -> None:
    home = change_decoder(folder, {"tie_word_embeddings": True})
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": True}))
    files = {path: load_file(path) for path in sorted(home.glob("model*.safetensors"))}
    if not any(key.endswith("lm_head.weight") for tensors in files.values() for key in tensors):
        for path, tensors in files.items():
            for key in [key for key in tensors if key.endswith("embed_tokens.weight")]:
                tensors["lm_head.weight"] = 2 * tensors[key]
                save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lm_head|another head"):
        load(folder)
