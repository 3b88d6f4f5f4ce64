"""SigLIP and CLIP checkpoints in the released layout against transformers' own models."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import plugins
from engine.errors import InputRefusedError, WeightsError
from engine.protocols import ImageTextEncoder
from engine.sight import encoders
from tests.support.tower_checkpoint import save_towers

NAMES = {"clip": "clip", "siglip": "siglip2"}


@pytest.fixture(params=["clip", "siglip"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(kind: str, folder: Path) -> ImageTextEncoder:
    module = plugins.load(encoders, NAMES[kind], defines=("open_encoder", "RELEASES"))
    encoder: ImageTextEncoder = module.open_encoder(str(folder))
    return encoder


def test_vectors_and_cosines_equal_transformers(kind: str, tmp_path: Path) -> None:
    theirs, encoder = save_towers(kind, tmp_path), opened(kind, tmp_path)
    pictures = np.random.default_rng(0).integers(0, 255, (3, 24, 24, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    ids = [1, 2, 4, 5, 3] if kind == "clip" else [2, 4, 5, 3, 0, 0, 0, 0]
    with torch.inference_mode():
        outputs = theirs(input_ids=torch.tensor([ids]), pixel_values=pixels)
    vectors, queries = encoder.encode_images(list(pictures)), encoder.queries("A red dog")
    torch.testing.assert_close(vectors, outputs.image_embeds, atol=1e-4, rtol=0)
    torch.testing.assert_close(queries, outputs.text_embeds, atol=1e-4, rtol=0)
    # Their logits are ours, up to what is added before something is claimed.
    odds = encoder.log_odds("a red dog", queries @ vectors.T)
    shift = odds - outputs.logits_per_image[:, 0]
    torch.testing.assert_close(shift, shift[:1].expand(3), atol=1e-4, rtol=0)
    assert encoder.card.dim == vectors.shape[1]


def test_other_weights_have_another_fingerprint(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    theirs = save_towers(kind, tmp_path / "a")
    first = opened(kind, tmp_path / "a").card.fingerprint
    assert opened(kind, tmp_path / "a").card.fingerprint == first
    with torch.no_grad():
        theirs.vision_model.encoder.layers[0].mlp.fc1.bias.add_(1e-3)
    theirs.save_pretrained(tmp_path / "a")
    assert opened(kind, tmp_path / "a").card.fingerprint != first


def test_a_checkpoint_that_cannot_serve_is_refused_with_a_reason(kind: str, tmp_path: Path) -> None:
    save_towers(kind, tmp_path)
    other = "siglip" if kind == "clip" else "clip"
    with pytest.raises(WeightsError, match=f"holds a {kind} checkpoint"):
        opened(other, tmp_path)
    module = plugins.load(encoders, NAMES[kind], defines=("open_encoder",))
    with pytest.raises(InputRefusedError, match="needs a checkpoint"):
        module.open_encoder(None)
    config = json.loads((tmp_path / "config.json").read_text())
    vision = config["vision_config"] | {"model_type": f"{kind}_vision_model"}
    (tmp_path / "config.json").write_text(json.dumps(vision))
    with pytest.raises(WeightsError, match="no text side"):
        opened(kind, tmp_path)
