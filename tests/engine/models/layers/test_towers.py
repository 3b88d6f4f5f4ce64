"""The towers against transformers' CLIP and SigLIP, and the finding of their folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from engine.errors import WeightsError
from engine.models.layers.text_image import load_joint
from engine.models.layers.towers import Tower, TowerConfig, find_tower, load_tower

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
VISION = SIZES | {"num_attention_heads": 4, "image_size": 24, "patch_size": 8}
TEXT = SIZES | {"num_attention_heads": 2, "vocab_size": 60, "max_position_embeddings": 12}
ENDS = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}


def _save(kind: str, folder: Path) -> Any:
    """A random model of theirs, saved by them."""
    torch.manual_seed(0)
    text = TEXT | ENDS
    if kind == "clip":
        theirs = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=20))
    else:
        text |= {"projection_size": 32}
        theirs = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 24}))
    return theirs


@pytest.fixture(params=["clip", "siglip"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _ours(folder: Path) -> Tower:
    files = find_tower(folder.parent, folder.name)
    assert files.folder == folder
    tower = Tower(files.config).eval()
    load_tower(tower, folder)
    return tower


@pytest.mark.parametrize("select_layer", [-1, -2, 0, 2])
def test_features_equal_transformers(kind: str, select_layer: int, tmp_path: Path) -> None:
    theirs, ours = _save(kind, tmp_path / "tower"), _ours(tmp_path / "tower")
    pixels = torch.randn(3, 3, 24, 24)
    with torch.inference_mode():
        outputs = theirs.vision_model(pixels, output_hidden_states=True)
        expected = outputs.hidden_states[select_layer][:, 1 if kind == "clip" else 0 :]
        features, vectors = ours.run(pixels, select_layer, with_vectors=False)
    assert vectors is None
    torch.testing.assert_close(features, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("select_layer", [-1, -2])
def test_frame_vectors_equal_transformers(kind: str, select_layer: int, tmp_path: Path) -> None:
    theirs, ours = _save(kind, tmp_path / "tower"), _ours(tmp_path / "tower")
    pixels = torch.randn(3, 3, 24, 24)
    with torch.inference_mode():
        expected = theirs.get_image_features(pixels).pooler_output
        expected = expected / expected.norm(dim=-1, keepdim=True)
        _, vectors = ours.run(pixels, select_layer, with_vectors=True)
    torch.testing.assert_close(vectors, expected, atol=1e-4, rtol=1e-4)


def test_text_vectors_equal_transformers(kind: str, tmp_path: Path) -> None:
    theirs, ours = _save(kind, tmp_path / "tower"), _ours(tmp_path / "tower")
    ids = torch.tensor([1, 20, 31, 42, 3])
    with torch.inference_mode():
        expected = theirs.get_text_features(ids[None]).pooler_output[0]
        vector = ours.embed_ids(ids)
    torch.testing.assert_close(vector, expected / expected.norm(), atol=1e-4, rtol=1e-4)


def test_a_vision_model_alone_loads_with_or_without_its_prefix(tmp_path: Path) -> None:
    theirs = _save("clip", tmp_path / "full")
    theirs.vision_model.save_pretrained(tmp_path / "alone")
    (tmp_path / "alone" / "preprocessor_config.json").write_text("{}")
    alone, full = _ours(tmp_path / "alone"), _ours(tmp_path / "full")
    assert not alone.has_text
    pixels = torch.randn(1, 3, 24, 24)
    with torch.inference_mode():
        features, _ = alone.run(pixels, -2, with_vectors=False)
        expected, _ = full.run(pixels, -2, with_vectors=False)
    assert torch.equal(features, expected)


def test_a_text_side_is_left_behind_where_none_is_wanted(tmp_path: Path) -> None:
    _save("clip", tmp_path / "tower")
    files = find_tower(tmp_path, "tower")
    load_tower(Tower(files.config.vision_only()), tmp_path / "tower")


def test_a_missing_tower_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="some-tower") as caught:
        find_tower(tmp_path, "/their/machine/some-tower")
    assert caught.value.hint


def test_the_released_tower_is_known_without_its_folder(tmp_path: Path) -> None:
    files = find_tower(tmp_path, "/their/machine/clip-vit-large-patch14-336")
    assert files.folder is None
    assert files.pixels.size_px == 336
    assert files.config.vision["num_hidden_layers"] == 24


def test_a_layer_outside_the_tower_is_refused() -> None:
    tower = Tower(TowerConfig(kind="clip", vision=VISION))
    with pytest.raises(ValueError, match="select_layer"):
        tower.layer_index(-5)


def test_other_kinds_of_tower_are_refused() -> None:
    with pytest.raises(ValueError, match="dinov2"):
        TowerConfig.from_json({"model_type": "dinov2"})


def test_a_tower_with_other_heads_is_another_though_its_weights_are_the_same(
    tmp_path: Path,
) -> None:
    _save("clip", tmp_path / "full")
    files = find_tower(tmp_path, "full")
    own = Tower(files.config.vision_only())
    load_tower(own, tmp_path / "full")
    assert load_joint(own, files)[1] is None
    heads = dict(files.config.vision) | {"num_attention_heads": 1}
    other = Tower(TowerConfig(kind="clip", vision=heads))
    load_tower(other, tmp_path / "full")
    kept, joint = load_joint(other, files)
    assert kept is other
    assert joint is not None


@pytest.mark.parametrize(
    ("file", "fields", "reason"),
    [
        ("config.json", {"num_attention_heads": 5}, "does not split into 5 heads"),
        ("preprocessor_config.json", {"size": 7}, "frames of 7 pixels, and the tower takes 24"),
        ("preprocessor_config.json", {"fit": "stretch"}, "fit must be one of crop, squash"),
    ],
)
def test_a_tower_that_does_not_fit_its_files_is_refused(
    tmp_path: Path, file: str, fields: dict[str, object], reason: str
) -> None:
    _save("clip", tmp_path / "full").vision_model.save_pretrained(tmp_path / "alone")
    path = tmp_path / "alone" / file
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | fields))
    if file == "config.json":
        (tmp_path / "alone" / "preprocessor_config.json").write_text("{}")
    with pytest.raises((WeightsError, ValueError), match=reason):
        Tower(find_tower(tmp_path, "alone").config)
