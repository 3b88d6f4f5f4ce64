"""CLIP and SigLIP checkpoints with both towers, as encoders of stills and phrases."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from engine.errors import InputRefusedError, WeightsError
from engine.models.layers.allocation import materialise
from engine.models.layers.config_fit import config_fits
from engine.models.layers.fingerprint import FINGERPRINT_DIGITS, fingerprint_weights
from engine.models.layers.preprocess import BICUBIC, PixelConfig, prepare
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Kind, Tower, TowerConfig, load_tower, read_pixels
from engine.models.layers.weights import (
    files_of,
    read_config,
    read_tensors,
)
from engine.records import EncoderCard, Fingerprint
from engine.sight.claims import read_claim

BATCH = 16
"""Pictures of a pass: a bound on memory."""
VERSION = 1
"""Of how pictures are prepared; another version is another fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderRelease:
    """A checkpoint of an image-text encoder that its authors published."""

    repository: str
    """`org/name` on the model hub."""
    weight_bytes: int
    licence: str
    note: str = ""


class TowerEncoder:
    """A checkpoint with a picture tower and a text tower in one space."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        knows: str,
        licence: str,
        kind: Kind,
        device: torch.device,
        claim: float,
    ) -> None:
        """Load both towers, strictly.

        Args:
            folder: With config, weights, tokenizer and preprocessing, as released.
            name: Of the encoder, without its checkpoint.
            knows: For its card.
            licence: For its card.
            kind: Of the towers that this encoder takes.
            device: Where they run.
            claim: Added to the log-odds that scale and bias of the checkpoint give, where no
                threshold lies beside it that was fitted.
        Raises:
            WeightsError: Keys missing or left over, no text side, or another kind of tower.
            NotFoundError: No config there.
        """
        config = _config(folder, kind)
        self._tower = _load(config, folder, device)
        self._device = device
        with config_fits(folder, "CLIP and SigLIP"):
            self._pixels = read_pixels(config, folder)
        self._tokenizer = Tokenizer.load(folder)
        self._scale, bias = _calibration(folder)
        fitted = read_claim(folder)
        self.claim = claim if fitted is None else fitted.claim
        """Added to the log-odds that scale and bias of the checkpoint give."""
        self._bias = bias + self.claim
        self.card = EncoderCard(
            name=f"{name}:{folder.name.replace('--', '/')}",
            fingerprint=_fingerprint(self._tower, self._pixels, folder),
            dim=config.vector_dim,
            knows=knows,
            licence=licence,
            measured="" if fitted is None else fitted.sentence,
        )

    @torch.inference_mode()
    def encode_images(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    ) -> Float32[Tensor, "image dim"]:
        """Return a unit vector for each RGB picture of any size."""
        vectors = [torch.empty(0, self.card.dim)]
        for start in range(0, len(images), BATCH):
            pixels = torch.cat([self._prepared(image) for image in images[start : start + BATCH]])
            weight = next(self._tower.parameters())
            _, unit = self._tower.run(pixels.to(self._device, weight.dtype), -1, with_vectors=True)
            assert unit is not None, "a tower with a text side gives vectors"
            vectors.append(unit.float().cpu())
        return torch.cat(vectors)

    @torch.inference_mode()
    def queries(self, text: str) -> Float32[Tensor, "query dim"]:
        """Return a phrase as one unit vector."""
        ids = torch.tensor(self._tower.text_ids(self._tokenizer, text))
        return self._tower.embed_ids(ids.to(self._device)).float().cpu()[None]

    def relevance(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        """Return the log-odds of pictures: cosines are an order of their own."""
        return self.log_odds(text, scores)

    def log_odds(
        self, text: str, scores: Float[Tensor, "query image"]
    ) -> Float32[Tensor, " image"]:
        """Return the log-odds that pictures show a phrase, a line in the cosine."""
        return self._scale * scores[0].float() + self._bias

    def _prepared(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Tensor:
        # h w 3 -> 1 3 h w
        frame = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        return prepare(frame, self._pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerFamily:
    """One kind of checkpoints; a file of `engine/sight/encoders` states it."""

    name: str
    """Of the encoder in settings."""
    kind: Kind
    """Of its towers."""
    knows: str
    """What it can and cannot tell, for its card."""
    claim: float
    """Where a checkpoint has no threshold of its own; not fitted, and rather too strict."""
    releases: tuple[EncoderRelease, ...]
    """The recommended one first."""

    def open_encoder(
        self,
        checkpoint: str | None,
        *,
        device: torch.device | None = None,
        cache: Path | None = None,
    ) -> TowerEncoder:
        """Load a checkpoint folder.

        Args:
            checkpoint: The folder, as released.
            device: Where the towers run.
            cache: Unused: nothing about a checkpoint has to be worked out twice.
        Raises:
            InputRefusedError: No checkpoint was named.
            WeightsError: It does not fit.
        """
        if checkpoint is None:
            raise InputRefusedError(
                f"the encoder {self.name} needs a checkpoint",
                hint=f"write {self.name}:{self.releases[0].repository}, or {self.name}: and a "
                "folder",
            )
        return TowerEncoder(
            Path(checkpoint),
            name=self.name,
            knows=self.knows,
            licence=self.releases[0].licence,
            kind=self.kind,
            device=device or torch.device("cpu"),
            claim=self.claim,
        )


def _config(folder: Path, kind: Kind) -> TowerConfig:
    with config_fits(folder, "CLIP and SigLIP"):
        config = TowerConfig.from_json(read_config(folder))
    if config.kind != kind:
        raise WeightsError(f"{folder} holds a {config.kind} checkpoint, not {kind}")
    if config.text is None:
        raise WeightsError(
            f"{folder} has no text side, so that no words can be looked for",
            hint="name the full checkpoint, with text model and projections",
        )
    return config


def _load(config: TowerConfig, folder: Path, device: torch.device) -> Tower:
    with config_fits(folder, "CLIP and SigLIP"), torch.device("meta"):
        tower = Tower(config)
    materialise(tower, device, torch.float32 if device.type == "cpu" else torch.bfloat16)
    load_tower(tower.eval().requires_grad_(False), folder)
    return tower


def _calibration(folder: Path) -> tuple[float, float]:
    """Return the scale and bias that were trained with a checkpoint's contrastive loss."""
    wanted = ("logit_scale", "logit_bias")
    learned = {
        name: float(value) for name, value in read_tensors(folder, wanted=lambda key: key in wanted)
    }
    return math.exp(learned.get("logit_scale", 0.0)), learned.get("logit_bias", 0.0)


def _fingerprint(tower: Tower, pixels: PixelConfig, folder: Path) -> Fingerprint:
    weights = fingerprint_weights(tower.config.to_json(), tower, files_of(folder))
    # The filter came later: fingerprints of towers with the one there was before stay as they are.
    other = "" if pixels.filter == BICUBIC else f" {pixels.filter}"
    facts = f"{VERSION} {weights} {pixels}{other}"
    digest = hashlib.sha256(facts.encode()).hexdigest()
    return Fingerprint(digest[:FINGERPRINT_DIGITS])
