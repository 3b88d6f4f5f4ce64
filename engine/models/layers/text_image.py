"""The joint image-text space of a model, from its own tower or from one that stands alone.

Released video models keep only the vision half of CLIP or SigLIP. Where the whole tower lies
beside the checkpoint, it gives frame vectors and text vectors; else frames are told apart by
their mean features, and text cannot be compared with them.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from engine.errors import MissingCapabilityError
from engine.models.layers.allocation import materialise
from engine.models.layers.config_fit import config_fits
from engine.models.layers.preprocess import PixelConfig, prepare
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower, TowerFiles, find_tower, load_tower

VISION_BATCH = 32
"""Frames a pass of the tower: its activations, not the decoder's, would set the memory limit."""


def load_joint(own: Tower, files: TowerFiles) -> tuple[Tower, Tower | None]:
    """Load the stand-alone tower beside a checkpoint, and drop the checkpoint's own if it is equal.

    Frozen towers equal their stand-alone release, and then one tower does both.

    Args:
        own: As the checkpoint fills it, without a text side.
        files: The stand-alone tower, as `find_tower` found it.
    Returns:
        The tower for visual tokens, and the one of the joint space where it is another.
    Raises:
        WeightsError: The stand-alone tower does not fit its own config.
    """
    if files.folder is None or files.config.text is None:
        return own, None
    whole = open_joint(files, next(own.parameters()))
    theirs = dict(whole.vision_model.named_parameters())
    ours = dict(own.vision_model.named_parameters())
    # Bit for bit: a tower that was trained further differs in some weight, however little. Heads
    # and activations are in no weight.
    is_same = (
        own.vision_model.sizes == whole.vision_model.sizes
        and ours.keys() == theirs.keys()
        and all(
            # Where headers alone are read, shapes are all that can differ.
            parameter.is_meta or torch.equal(parameter, theirs[name])
            for name, parameter in ours.items()
        )
    )
    return (whole, None) if is_same else (own, whole)


def find_published(checkpoint: Path, name: str, given: Path | None) -> TowerFiles | None:
    """Find a tower as its authors published it, with its text side; `None` if it is not at hand.

    Args:
        checkpoint: The folder in or beside which it may lie.
        name: Of its folder.
        given: Its folder, where the caller knows better.
    """
    homes = (checkpoint, checkpoint.parent)
    is_there = any((home / name / "config.json").is_file() for home in homes)
    if given is None and not is_there:
        return None
    files = find_tower(checkpoint, name, given)
    return files if files.config.text is not None else None


def open_joint(files: TowerFiles, like: Tensor) -> Tower:
    """Load a tower that stands alone.

    Args:
        files: With a text side.
        like: Gives device and dtype.
    Raises:
        WeightsError: It does not fit its own config.
    """
    assert files.folder is not None
    with config_fits(files.folder, "CLIP and SigLIP"), torch.device("meta"):
        whole = Tower(files.config)
    materialise(whole, like.device, like.dtype)
    load_tower(whole.eval(), files.folder)
    return whole.requires_grad_(False)


def encode_frames(
    tower: Tower, joint: Tower | None, pixels: Float[Tensor, "frame 3 h w"], select_layer: int
) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
    """Compute patch features of the chosen layer, and a unit vector for each frame.

    Args:
        tower: Gives the features, and the vectors where it has a text side.
        joint: Gives the vectors, where it is another tower.
        pixels: Prepared for the tower.
        select_layer: As in `Tower.run`.
    """
    has_vectors = joint is None and tower.has_text
    features, vectors = tower.run(pixels, select_layer, with_vectors=has_vectors)
    if joint is not None:
        _, vectors = joint.run(pixels, -1, with_vectors=True)
    return features, mean_vectors(features) if vectors is None else vectors


def mean_vectors(
    features: Float[Tensor, "frame patch width"],
) -> Float32[Tensor, "frame width"]:
    """Return a unit vector for each frame where there is no text side.

    Mean features still tell frames apart, though no text can be near them.
    """
    return F.normalize(features.float().mean(1), dim=-1)


def joint_vectors(
    joint: Tower, frames: UInt8[Tensor, "frame 3 h w"], pixels: PixelConfig
) -> Float32[Tensor, "frame dim"]:
    """Compute unit vectors of frames by a tower that stands beside the model's own.

    Args:
        joint: With a text side.
        frames: On the host, of any size.
        pixels: Preparation for this tower.
    """
    weight = next(joint.parameters())
    ready = prepare(frames, pixels, weight.device)
    _, vectors = joint.run(ready.to(weight.dtype), -1, with_vectors=True)
    assert vectors is not None
    return vectors


def encode_in_batches(
    frames: UInt8[Tensor, "frame 3 h w"],
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
    """Encode frames that do not see each other, `VISION_BATCH` at a time.

    Args:
        frames: At least one.
        encode: Raw frames to visual tokens and unit vectors.
    Returns:
        Tokens on the model's device, vectors on the CPU.
    """
    parts = [encode(batch) for batch in torch.split(frames, VISION_BATCH)]
    return torch.cat([tokens for tokens, _ in parts]), torch.cat([unit for _, unit in parts]).cpu()


class TextEncoder:
    """Queries as vectors in the space of frame vectors."""

    def __init__(
        self, tower: Tower | None, joint: Tower | None, folder: Path | None, *, width: int = 0
    ) -> None:
        """Take the text side of whichever tower has one.

        Args:
            tower: The one for visual tokens; `None` where it is of another make.
            joint: The one of the joint space, where it is another.
            folder: With the joint tower's tokenizer.
            width: Channels of the tower of another make.
        """
        owner = joint or tower
        has_text = owner is not None and owner.has_text
        self.tower = owner if has_text else None
        own_width = width if tower is None else tower.width
        self.vector_dim = own_width if self.tower is None else self.tower.config.vector_dim
        self.tokenizer = Tokenizer.load(folder) if has_text and folder else None

    def embed(self, text: str) -> Float32[Tensor, " dim"]:
        """Embed a text as a unit vector, on the CPU.

        Raises:
            MissingCapabilityError: The tower came without its text side.
        """
        if self.tower is None or self.tokenizer is None:
            raise MissingCapabilityError(
                "this checkpoint cannot compare text with frames: its tower has no text side",
                hint="put the full CLIP or SigLIP folder (text model, projections, tokenizer) "
                "beside the checkpoint",
            )
        device = next(self.tower.parameters()).device
        ids = torch.tensor(self.tower.text_ids(self.tokenizer, text), device=device)
        return self.tower.embed_ids(ids).cpu()
