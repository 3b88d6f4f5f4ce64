"""The loader: strict both ways, every layout, nothing but tensors."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.errors import NotFoundError, WeightsError
from engine.models.layers.fingerprint import fingerprint_weights
from engine.models.layers.fused_linear import FusedLinear
from engine.models.layers.weights import (
    INDEX_NAME,
    files_of,
    fill,
    keys_of,
    read_config,
    read_file,
    read_tensors,
    released_names,
    save,
    slots,
    translate,
    under,
)

KEY_MAP = (
    ("theirs.*.q_proj.*", "blocks.*.q.*"),
    ("theirs.*.k_proj.*", "blocks.*.k.*"),
    ("theirs.rotary", ""),
    ("out.**", "out.**"),
)


def _module() -> nn.Module:
    torch.manual_seed(0)
    blocks = nn.ModuleList(FusedLinear(3, {"q": 4, "k": 2}, bias=True) for _ in range(2))
    return nn.ModuleDict({"blocks": blocks, "out": nn.Linear(3, 5, bias=False)})


def _tensors() -> dict[str, torch.Tensor]:
    module = _module()
    names = released_names(module, KEY_MAP)
    return {names[name]: slot.parameter.detach()[slot.rows] for name, slot in slots(module).items()}


def test_names_are_translated_by_the_first_row_that_fits() -> None:
    assert translate("theirs.7.q_proj.bias", KEY_MAP) == "blocks.7.q.bias"
    assert translate("out.a.b.weight", KEY_MAP) == "out.a.b.weight"
    assert translate("theirs.rotary", KEY_MAP) == ""
    assert translate("theirs.7.8.q_proj.bias", KEY_MAP) is None


def test_a_wrapped_map_adds_both_prefixes() -> None:
    wrapped = under("model.", KEY_MAP, "inner.")
    assert translate("model.theirs.0.k_proj.weight", wrapped) == "inner.blocks.0.k.weight"
    assert translate("model.theirs.rotary", wrapped) == ""


def test_fused_projections_are_filled_part_by_part() -> None:
    module, tensors = _module(), _tensors()
    for parameter in module.parameters():
        parameter.data.zero_()
    filled = fill(module, tensors.items(), KEY_MAP, source="test")
    assert filled == dict.fromkeys(slots(module), True)
    for ours, theirs in zip(module.parameters(), _module().parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_unknown_missing_and_misshapen_keys_are_named() -> None:
    tensors = _tensors()
    tensors["theirs.9.surplus"] = torch.zeros(1)
    del tensors["theirs.1.k_proj.bias"]
    tensors["out.weight"] = torch.zeros(5, 4)
    with pytest.raises(WeightsError) as caught:
        fill(_module(), tensors.items(), KEY_MAP, source="the folder")
    for name in ("the folder", "theirs.9.surplus", "blocks.1.k.bias", "out.weight is [5, 4]"):
        assert name in str(caught.value)


def test_no_more_than_three_keys_are_named() -> None:
    tensors = _tensors() | {f"surplus.{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(WeightsError, match=r"5 unknown: .*surplus.2, \.\.\."):
        fill(_module(), tensors.items(), KEY_MAP, source="test")


def test_rows_beyond_the_vocabulary_are_cut() -> None:
    module, tensors = _module(), _tensors()
    tensors["out.weight"] = torch.cat((tensors["out.weight"], torch.full((1, 3), 9.0)))
    fill(module, tensors.items(), KEY_MAP, source="test", cut_rows={"out.weight": 5})
    assert torch.equal(dict(module.named_parameters())["out.weight"], tensors["out.weight"][:5])


@pytest.mark.parametrize("n_shards", [1, 3])
def test_what_is_saved_is_read_back(n_shards: int, tmp_path: Path) -> None:
    save(_module(), tmp_path, KEY_MAP, n_shards=n_shards)
    assert keys_of(tmp_path) == set(_tensors())
    read = dict(read_tensors(tmp_path))
    assert all(torch.equal(read[key], tensor) for key, tensor in _tensors().items())
    assert (tmp_path / "model.safetensors.index.json").is_file() == (n_shards > 1)
    assert not list(tmp_path.glob(".*.part"))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save(_module(), tmp_path, KEY_MAP, n_shards=2)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match="model-00002-of-00002"):
        list(read_tensors(tmp_path))


@pytest.mark.parametrize(
    "weight_map", [None, [], 7, {"a": 7}, {"a": "../b"}, {"a": "/b"}, {"a": ""}]
)
def test_an_index_names_files_of_its_folder(weight_map: object, tmp_path: Path) -> None:
    (tmp_path / INDEX_NAME).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(WeightsError, match="weight_map must name a file of the folder"):
        files_of(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no model"):
        list(read_tensors(tmp_path))


def test_a_torn_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    save(_module(), tmp_path, KEY_MAP)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-7])
    with pytest.raises(WeightsError, match="cannot be read"):
        list(read_tensors(tmp_path))


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never run",)


def test_a_pickle_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.bin").write_bytes(pickle.dumps({"a": _Harmful()}, protocol=2))
    with pytest.raises(WeightsError, match="cannot be read"):
        list(read_file(tmp_path / "bad.bin"))
    assert "never run" not in capsys.readouterr().out


def test_a_pickle_of_tensors_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert torch.equal(dict(read_tensors(tmp_path))["a"], torch.ones(2))


def test_configs_that_are_missing_or_broken_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match="no JSON object"):
        read_config(tmp_path)


def test_a_fingerprint_knows_config_weights_and_dtype() -> None:
    module = _module()
    first = fingerprint_weights({"a": 1}, module)
    assert first == fingerprint_weights({"a": 1}, _module())
    assert first != fingerprint_weights({"a": 2}, module)
    with torch.no_grad():
        next(module.parameters())[0] += 1e-3
    changed = fingerprint_weights({"a": 1}, module)
    assert changed != first
    assert fingerprint_weights({"a": 1}, module.to(torch.bfloat16)) != changed


def test_every_parameter_must_have_a_released_name() -> None:
    with pytest.raises(ValueError, match="key_map"):
        released_names(_module(), KEY_MAP[:1])


def test_the_index_counts_its_bytes(tmp_path: Path) -> None:
    save(_module(), tmp_path, KEY_MAP, n_shards=2)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in _tensors().values())
