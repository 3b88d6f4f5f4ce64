"""Checkpoints of the families whose frames stand among times: what their loaders share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import nn

from engine.models.layers.config_fit import config_fits
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.fingerprint import fingerprint_weights, hashed_fields, weight_files
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.text_image import TextEncoder
from engine.models.layers.tied_head import tied_key_map
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import TowerFiles
from engine.models.layers.weights import KeyMap, fill, read_config, read_tensors
from engine.records import Fingerprint, LatentKind


class HasDecoder(Protocol):
    """A family's config, as far as its loader has to know it."""

    @property
    def decoder(self) -> DecoderConfig:
        """Sizes of the decoder."""


Config = TypeVar("Config", bound=HasDecoder)
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that a model of frames holds beside its net."""

    tokenizer: Tokenizer
    text_encoder: TextEncoder
    variant: str
    fingerprint: Fingerprint
    joint_pixels: PixelConfig | None
    """Pixels of the tower that gives frame vectors, where one stands beside the weights."""
    latents: LatentKind


def load_strictly(
    folder: Path,
    read: Callable[[Path], Config],
    build: Callable[[Config], Net],
    key_map: KeyMap,
    *,
    name: str,
) -> Net:
    """Build the net of a checkpoint folder and fill it, strictly.

    Args:
        folder: With config files and weights.
        read: Reads the family's config.
        build: Allocates its net.
        key_map: From released names to ours.
        name: Of the family, for an error.
    Raises:
        WeightsError: Keys missing, left over, or of another shape; or a config that no release has.
    """
    with config_fits(folder, name):
        config = read(folder)
        net = build(config)
    embedding = next(theirs for theirs, ours in key_map if ours == "decoder.embed.weight")
    if config.decoder.is_tied:
        key_map = tied_key_map(key_map, folder, embedding=embedding)
    fill(net, read_tensors(folder), key_map, source=str(folder))
    return net


def read_parts(
    net: nn.Module,
    config: Mapping[str, Any],
    folder: Path,
    files: TowerFiles | None,
    latents: LatentKind,
    open_text: Callable[[Path | None], TextEncoder],
) -> Parts:
    """Read what belongs to a loaded net, and freeze it.

    Args:
        net: Loaded.
        config: What shapes it beside its weights.
        folder: Of the checkpoint.
        files: Of the tower that stands beside it.
        latents: What is kept of a chunk: keys and values mix with embeddings as little as those of
            another model.
        open_text: Makes the encoder of queries, given the folder of that tower.
    """
    net.requires_grad_(False)
    home = None if files is None else files.folder
    joint = None if files is None else hashed_fields(files.pixels)
    kind = {} if latents == "tokens" else {"latents": latents}
    shape = {"config": _hashed(config), "joint": joint, **kind}
    return Parts(
        tokenizer=Tokenizer.load(folder, with_template=False),
        text_encoder=open_text(home),
        variant=str(read_config(folder).get("variant", folder.name)),
        fingerprint=fingerprint_weights(shape, net, weight_files(folder, home)),
        joint_pixels=None if files is None else files.pixels,
        latents=latents,
    )


def _hashed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a fingerprint hashes; experts came later, and one MLP has none."""
    later = () if config["decoder"]["n_experts"] else ("n_experts", "experts_per_token")
    decoder = {name: value for name, value in config["decoder"].items() if name not in later}
    return {**config, "decoder": decoder}
