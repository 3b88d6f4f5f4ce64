"""The joint image-text space beside a model whose own tower came without its text side.

Released video models keep only the vision half of CLIP or SigLIP. Where the whole tower lies
beside the checkpoint, it gives frame vectors and text vectors; else frames are told apart by
their mean features, and text cannot be compared with them.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from engine.errors import MissingCapabilityError
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower, TowerFiles, load_tower
from engine.models.layers.weights import materialise


def load_joint(own: Tower, files: TowerFiles) -> tuple[Tower, Tower | None]:
    """The tower to see with, and the one of the joint space where it is another.

    Frozen towers equal their stand-alone release, and then one tower does both.

    Args:
        own: As the checkpoint fills it, without a text side.
        files: What lies beside the checkpoint.
    Returns:
        The stand-alone tower alone where all vision weights agree; else both.
    Raises:
        WeightsError: The stand-alone tower does not fit its own config.
    """
    if files.folder is None or files.config.text is None:
        return own, None
    weight = next(own.parameters())
    with torch.device("meta"):
        whole = Tower(files.config)
    materialise(whole, weight.device, weight.dtype)
    load_tower(whole.eval(), files.folder)
    theirs = dict(whole.vision_model.named_parameters())
    ours = dict(own.vision_model.named_parameters())
    is_same = ours.keys() == theirs.keys() and all(
        torch.equal(each, theirs[name]) for name, each in ours.items()
    )
    return (whole, None) if is_same else (own, whole)


def see(
    tower: Tower, joint: Tower | None, pixels: Float[Tensor, "frame 3 h w"], select_layer: int
) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
    """Patch features of the chosen layer, and a unit vector for each frame."""
    has_vectors = joint is None and tower.has_text
    features, vectors = tower.run(pixels, select_layer, with_vectors=has_vectors)
    if joint is not None:
        _, vectors = joint.run(pixels, -1, with_vectors=True)
    if vectors is None:
        vectors = F.normalize(features.float().mean(1), dim=-1)
    return features, vectors


class TextEncoder:
    """Queries in the space of frame vectors."""

    def __init__(self, tower: Tower, joint: Tower | None, folder: Path | None) -> None:
        """Find the text side.

        Args:
            tower: The one to see with.
            joint: The one of the joint space, where it is another.
            folder: With the joint tower's tokenizer.
        """
        owner = joint or tower
        self.tower = owner if owner.has_text else None
        self.vector_dim = owner.config.vector_dim if owner.has_text else tower.width
        self.tokenizer = Tokenizer.load(folder) if owner.has_text and folder else None

    def embed(self, text: str) -> Float32[Tensor, " dim"]:
        """A text as a unit vector, on the CPU.

        Raises:
            MissingCapabilityError: The tower came without its text side.
        """
        if self.tower is None or self.tokenizer is None:
            raise MissingCapabilityError(
                "this checkpoint cannot compare text with frames: its tower has no text side",
                hint="put the tower's full folder (text model, tokenizer) beside the checkpoint",
            )
        device = next(self.tower.parameters()).device
        ids = torch.tensor(self.tower.text_ids(self.tokenizer, text), device=device)
        return self.tower.embed_ids(ids).cpu()
