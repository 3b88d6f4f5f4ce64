"""Apollo's weights: what shapes them, how they are read from and written to released folders.

A checkpoint is a folder of folders: `llm`, `vision_tower/<one for each tower>`, `mm_connector`,
each with its own `config.json` and safetensors.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import WeightsError
from engine.nn import decoder as decoders
from engine.nn import internvideo2, resampler, towers
from engine.nn.decoder import Decoder, DecoderConfig
from engine.nn.internvideo2 import IMAGENET_MEAN, IMAGENET_STD, InternVideo2, InternVideo2Config
from engine.nn.pixels import PixelConfig
from engine.nn.resampler import Connector, ConnectorConfig
from engine.nn.towers import Tower, TowerConfig
from engine.nn.weights import KeyMap, fill, materialise, read_config, read_tensors, save, under

VISION_KEY_MAP = (
    *under("siglip.", towers.KEY_MAP, "siglip."),
    *under("internvideo2.", internvideo2.KEY_MAP, "internvideo2."),
    *under("mm_connector.", resampler.KEY_MAP, "connector."),
)
KEY_MAP = (
    *under("llm.", decoders.KEY_MAP, "decoder."),
    *under("", VISION_KEY_MAP, "vision."),
)
"""Released names, each behind the part whose folder holds it."""

SIGLIP = "siglip-so400m-patch14-384"
"""The folder of the first tower, as released; another name is found through the config."""
SELECT_LAYER = -2
"""Both towers give what the last block but one makes, without a final norm."""
MAX_POSITIONS = 16_384
"""Of prompt, clips and answer together, where a config does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """From pixels to the tokens of a clip."""

    siglip: TowerConfig
    siglip_pixels: PixelConfig
    internvideo2: InternVideo2Config
    connector: ConnectorConfig
    grid: tuple[int, int, int]
    """Frames, rows and columns on which the towers' features are joined."""
    select_layer: int = SELECT_LAYER
    video_mean: tuple[float, ...] = IMAGENET_MEAN
    video_std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.grid[0] != self.internvideo2.n_frames:
            raise ValueError(
                f"a clip of {self.internvideo2.n_frames} frames cannot be joined on {self.grid}"
            )

    @property
    def tokens_per_frame(self) -> int:
        """Places of the joint grid in one frame."""
        return self.grid[1] * self.grid[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApolloConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    vision: VisionConfig
    eos_ids: tuple[int, ...]
    max_positions: int = MAX_POSITIONS


class ApolloVision(nn.Module):
    """Two towers, joined, and the connector."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.siglip = Tower(config.siglip)
        self.internvideo2 = InternVideo2(config.internvideo2)
        self.connector = Connector(config.connector)

    def see(
        self,
        still: Float[Tensor, "clip frame 3 side side"],
        moving: Float[Tensor, "clip frame 3 edge edge"],
    ) -> tuple[Float[Tensor, "clip frame row col features"], Float32[Tensor, "clip frame dim"]]:
        """Both towers over whole clips: joined features, SigLIP's first, and frame vectors."""
        grid, vectors = self.see_frames(still)
        return join([grid, self.internvideo2(moving)], self.config.grid), vectors

    def see_frames(
        self, still: Float[Tensor, "clip frame 3 side side"]
    ) -> tuple[Float[Tensor, "clip frame row col features"], Float32[Tensor, "clip frame dim"]]:
        """SigLIP over every frame on its own."""
        n_clips, n_frames = still.shape[:2]
        features, vectors = self.siglip.run(
            still.flatten(0, 1), self.config.select_layer, with_vectors=True
        )
        assert vectors is not None
        side = self.siglip.grid
        return (
            features.reshape(n_clips, n_frames, side, side, -1),
            vectors.reshape(n_clips, n_frames, -1),
        )


class ApolloNet(nn.Module):
    """The weights: vision and decoder."""

    def __init__(self, config: ApolloConfig) -> None:
        super().__init__()
        self.config = config
        self.vision = ApolloVision(config.vision)
        self.decoder = Decoder(config.decoder)


def join(
    grids: Sequence[Float[Tensor, "clip _ _ _ _"]], shape: tuple[int, int, int]
) -> Float[Tensor, "clip frame row col features"]:
    """Features of several towers, side by side on one grid; a grid that fits is untouched.

    Args:
        grids: One tower each: clip, frame, row, column, channel.
        shape: Frames, rows and columns of the common grid.
    """
    return torch.cat([_resize(grid, shape) for grid in grids], dim=-1)


def _resize(grid: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if tuple(grid.shape[1:4]) == shape:
        return grid
    # In float32 as upstream: the weights of an interpolation in bf16 would keep 8 bits.
    moved = grid.movedim(-1, 1).float()
    resized = functional.interpolate(moved, size=shape, mode="trilinear", align_corners=False)
    return resized.movedim(1, -1).to(grid.dtype)


def build(config: ApolloConfig, device: torch.device, dtype: torch.dtype) -> ApolloNet:
    """A net with memory but without values; `load_net` fills it."""
    with torch.device("meta"):
        net = ApolloNet(config)
    materialise(net, device, dtype)
    return net.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the parts of a checkpoint lie."""

    llm: Path
    siglip: Path
    internvideo2: Path
    connector: Path

    @classmethod
    def of(cls, folder: Path) -> "Folders":
        """The parts, as the config of the towers names them.

        Raises:
            WeightsError: Other towers than SigLIP and, behind it, InternVideo2.
        """
        names = read_config(folder / "vision_tower").get("vision_towers", ())
        kinds = [
            str(read_config(folder / "vision_tower" / name).get("model_type")) for name in names
        ]
        if len(kinds) != 2 or "siglip" not in kinds[0] or "internvideo2" not in kinds[1]:
            raise WeightsError(
                f"{folder} has the towers {', '.join(kinds) or 'none'}; supported are siglip and "
                "internvideo2, in this order"
            )
        return cls(
            llm=folder / "llm",
            siglip=folder / "vision_tower" / names[0],
            internvideo2=folder / "vision_tower" / names[1],
            connector=folder / "mm_connector",
        )


def read(folder: Path) -> ApolloConfig:
    """The family's config from the config files of a checkpoint folder.

    Raises:
        WeightsError: It asks for what the released checkpoints do not use.
    """
    top, parts = read_config(folder), Folders.of(folder)
    _refuse_others(top)
    try:
        return _read(folder, top, parts)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"the config files below {folder} do not fit Apollo: {error}") from error


def _read(folder: Path, top: Mapping[str, Any], parts: Folders) -> ApolloConfig:
    llm = read_config(parts.llm)
    return ApolloConfig(
        decoder=DecoderConfig.from_json(llm),
        vision=read_vision(
            {
                "config": top,
                "vision_tower": read_config(folder / "vision_tower"),
                "siglip": read_config(parts.siglip),
                "siglip_pixels": _preprocessing(parts.siglip),
                "internvideo2": read_config(parts.internvideo2),
                "internvideo2_pixels": _preprocessing(parts.internvideo2),
                "mm_connector": read_config(parts.connector),
            }
        ),
        eos_ids=_eos_ids(parts.llm, llm),
        max_positions=top.get("llm_cfg", top).get("model_max_length", MAX_POSITIONS),
    )


def read_vision(said: Mapping[str, Mapping[str, Any]]) -> VisionConfig:
    """The vision part from its config files, by the part that each describes."""
    select_layer = said["config"].get("mm_vision_select_layer", SELECT_LAYER)
    siglip = TowerConfig.from_json(said["siglip"])
    half = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
    still = PixelConfig.from_json(half | {**said.get("siglip_pixels", {}), "fit": "letterbox"})
    moving = said.get("internvideo2_pixels", {})
    return VisionConfig(
        siglip=siglip,
        siglip_pixels=replace(still, size_px=siglip.vision["image_size"]),
        internvideo2=InternVideo2Config.from_json(said["internvideo2"], select_layer=select_layer),
        connector=ConnectorConfig.from_json(said["mm_connector"]),
        grid=tuple(said["vision_tower"]["token_output_shape"]),
        select_layer=select_layer,
        video_mean=tuple(moving.get("image_mean", IMAGENET_MEAN)),
        video_std=tuple(moving.get("image_std", IMAGENET_STD)),
    )


def load_net(folder: Path, device: torch.device, dtype: torch.dtype) -> ApolloNet:
    """The weights of a checkpoint folder, strictly.

    Raises:
        WeightsError: Keys missing, left over, or of another shape.
    """
    config, parts = read(folder), Folders.of(folder)
    net = build(config, device, dtype)
    key_map = (*unused_blocks(config.vision), *KEY_MAP)
    if config.decoder.is_tied:
        key_map = (("llm.lm_head.weight", ""), *key_map)
    fill(net, _tensors(parts, config), key_map, source=str(folder))
    return net


def save_net(net: ApolloNet, folder: Path, *, variant: str, n_shards: int = 1) -> None:
    """Write config and weights as a checkpoint folder that `load_net` reads; no tokenizers."""
    config, vision = net.config, net.vision
    select_layer = vision.config.select_layer
    tower = _with_unused_blocks(vision.internvideo2, select_layer)
    parts: dict[str, tuple[nn.Module, KeyMap, dict[str, Any]]] = {
        "llm": (net.decoder, decoders.KEY_MAP, _llm_json(config)),
        f"vision_tower/{SIGLIP}": (
            vision.siglip,
            (("**", "**"),),
            vision.siglip.config.to_json(),
        ),
        "vision_tower/internvideo2": (
            tower,
            internvideo2.KEY_MAP,
            vision.internvideo2.config.to_json(select_layer=select_layer),
        ),
        "mm_connector": (
            vision.connector,
            resampler.KEY_MAP,
            vision.connector.config.to_json(),
        ),
    }
    for name, (module, key_map, said) in parts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        save(module, folder / name, key_map, n_shards=n_shards if name == "llm" else 1)
        _write_json(folder / name / "config.json", said)
    _write_json(
        folder / "vision_tower" / SIGLIP / "preprocessor_config.json",
        vision.config.siglip_pixels.to_json(),
    )
    _write_json(
        folder / "vision_tower" / "internvideo2" / "preprocessor_config.json",
        {"image_mean": vision.config.video_mean, "image_std": vision.config.video_std},
    )
    _write_json(folder / "vision_tower" / "config.json", _towers_json(config))
    _write_json(folder / "config.json", _to_json(config, variant))


def unused_blocks(config: VisionConfig) -> KeyMap:
    """Rows for the last blocks of InternVideo2, which come with it and are never run."""
    depth = config.internvideo2.depth
    blocks = range(depth, depth - 1 - config.select_layer)
    return tuple((f"internvideo2.blocks.{block}.**", "") for block in blocks)


def _tensors(parts: Folders, config: ApolloConfig) -> Iterator[tuple[str, Tensor]]:
    """All tensors, each behind the name of its part."""
    for name, folder in (
        ("llm", parts.llm),
        ("siglip", parts.siglip),
        ("internvideo2", parts.internvideo2),
        ("mm_connector", parts.connector),
    ):
        for key, tensor in read_tensors(folder):
            yield f"{name}.{key}", tensor
    if config.decoder.is_tied:
        _refuse_other_head(parts.llm)


def _refuse_other_head(folder: Path) -> None:
    """A tied checkpoint may repeat its embeddings as a head, as the released ones do."""
    pair = {"lm_head.weight", "model.embed_tokens.weight"}
    found = dict(read_tensors(folder, wanted=pair.__contains__))
    if len(found) == 2 and not torch.equal(*found.values()):
        raise WeightsError(f"{folder} ties its head to its embeddings, but holds another head")


def _preprocessing(folder: Path) -> dict[str, Any]:
    name = "preprocessor_config.json"
    return read_config(folder, name) if (folder / name).is_file() else {}


def _eos_ids(folder: Path, llm: Mapping[str, Any]) -> tuple[int, ...]:
    name = "generation_config.json"
    said = read_config(folder, name) if (folder / name).is_file() else llm
    eos = said.get("eos_token_id", ())
    return (eos,) if isinstance(eos, int) else tuple(eos)


def _refuse_others(top: Mapping[str, Any]) -> None:
    """Name the first field whose value we do not compute."""
    allowed = {
        "image_aspect_ratio": ("square",),
        "interpolate_mode": ("linear",),
        "mm_vision_select_feature": ("patch",),
        "use_mm_start_end": (False, None),
    }
    for field, values in allowed.items():
        if field in top and top[field] not in values:
            raise WeightsError(f"config.json has {field} {top[field]!r}; supported: {values[0]!r}")
    if top.get("mm_vision_select_layer", SELECT_LAYER) >= 0:
        raise WeightsError("config.json counts mm_vision_select_layer from the start")


def _to_json(config: ApolloConfig, variant: str) -> dict[str, Any]:
    return {
        "architectures": ["ApolloForCausalLM"],
        "model_type": "apollo",
        "variant": variant,
        "clip_duration": 2,
        "encode_batch_size": 25,
        "hidden_size": config.decoder.width,
        "image_aspect_ratio": "square",
        "interpolate_mode": "linear",
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": config.vision.select_layer,
        "use_mm_start_end": False,
        "llm_cfg": {"model_max_length": config.max_positions},
        "mm_connector_cfg": {"num_output_tokens": config.vision.connector.n_queries},
    }


def _llm_json(config: ApolloConfig) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        **config.decoder.to_json(),
        "eos_token_id": list(config.eos_ids),
    }


def _towers_json(config: ApolloConfig) -> dict[str, Any]:
    return {
        "model_type": "hybrid_vision_tower",
        "num_vision_encoders": 2,
        "token_output_shape": list(config.vision.grid),
        "vision_towers": [SIGLIP, "internvideo2"],
    }


def _with_unused_blocks(tower: InternVideo2, select_layer: int) -> InternVideo2:
    """The tower as released, whose last block nobody asks for."""
    config = replace(tower.config, depth=tower.config.depth - 1 - select_layer)
    whole = InternVideo2(config).to(tower.positions)
    whole.load_state_dict(tower.state_dict(), strict=False)
    return whole


def _write_json(path: Path, said: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(said, indent=1), encoding="utf-8")
