"""Apollo's checkpoints: a folder of folders, read strictly and written as released.

`llm`, `vision_tower/<one for each tower>` and `mm_connector` each have their own `config.json` and
safetensors; the folder itself only says what they are together.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.apollo import internvideo2, resampler
from engine.models.apollo.internvideo2 import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    InternVideo2,
    InternVideo2Config,
)
from engine.models.apollo.net import (
    MAX_POSITIONS,
    SELECT_LAYER,
    ApolloConfig,
    ApolloNet,
    VisionConfig,
    build,
)
from engine.models.apollo.resampler import ConnectorConfig
from engine.models.layers import decoder as decoders
from engine.models.layers import towers
from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.towers import TowerConfig
from engine.models.layers.weights import KeyMap, fill, read_config, read_tensors, save, under

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
        home = folder / "vision_tower"
        # Only folders right here: a config that came from elsewhere must not point anywhere else.
        names = [Path(str(name)).name for name in read_config(home).get("vision_towers", ())]
        kinds = [str(read_config(home / name).get("model_type")) for name in names]
        if len(kinds) != 2 or "siglip" not in kinds[0] or "internvideo2" not in kinds[1]:
            raise WeightsError(
                f"{folder} has the towers {', '.join(kinds) or 'none'}; supported are siglip and "
                "internvideo2, in this order"
            )
        return cls(
            llm=folder / "llm",
            siglip=home / names[0],
            internvideo2=home / names[1],
            connector=folder / "mm_connector",
        )


def read(folder: Path, parts: Folders) -> ApolloConfig:
    """The family's config from the config files of a checkpoint folder."""
    top, llm = read_config(folder), read_config(parts.llm)
    _refuse_others(top)
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
        WeightsError: Keys missing, left over, or of another shape; or a config that asks for what
            the released checkpoints do not use.
    """
    parts = Folders.of(folder)
    try:
        config = read(folder, parts)
        net = build(config, device, dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"the config files below {folder} do not fit Apollo: {error}") from error
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
    """The tower as released, whose last blocks nobody asks for: here copies of the last used."""
    used = tower.config.depth
    whole = InternVideo2(replace(tower.config, depth=used - 1 - select_layer)).to(tower.positions)
    whole.load_state_dict(tower.state_dict(), strict=False)
    for block in whole.blocks[used:]:
        block.load_state_dict(tower.blocks[-1].state_dict())
    return whole


def _write_json(path: Path, said: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(said, indent=1), encoding="utf-8")
