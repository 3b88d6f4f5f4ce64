"""Apollo's checkpoints: a folder of folders, read strictly and written as released.

`llm`, `vision_tower/<one for each tower>` and `mm_connector` each have their own `config.json` and
safetensors; the folder itself only says what they are together.
"""

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
from engine.models.layers.config_fit import config_fits
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.preprocess import PixelConfig, require_usual_steps
from engine.models.layers.preprocessor_files import find_preprocessor
from engine.models.layers.tied_head import tied_key_map
from engine.models.layers.towers import TowerConfig
from engine.models.layers.weights import (
    KeyMap,
    fill,
    read_config,
    read_tensors,
    save,
    under,
    write_json,
)

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
    """Folders of the parts of a checkpoint."""

    llm: Path
    siglip: Path
    internvideo2: Path
    connector: Path

    @classmethod
    def of(cls, folder: Path) -> "Folders":
        """Find the parts, as the config of the towers names them.

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
    """Read the family's config from the config files of a checkpoint folder."""
    top, llm = read_config(folder), read_config(parts.llm)
    _refuse_others(top)
    return ApolloConfig(
        decoder=DecoderConfig.from_json(llm),
        vision=read_vision(
            {
                "config": top,
                "vision_tower": read_config(folder / "vision_tower"),
                "siglip": read_config(parts.siglip),
                "siglip_pixels": find_preprocessor(parts.siglip, "image") or {},
                "internvideo2": read_config(parts.internvideo2),
                "internvideo2_pixels": find_preprocessor(parts.internvideo2, "image") or {},
                "mm_connector": read_config(parts.connector),
            }
        ),
        eos_ids=_eos_ids(parts.llm, llm),
        max_positions=top.get("llm_cfg", top).get("model_max_length", MAX_POSITIONS),
    )


def read_vision(configs: Mapping[str, Mapping[str, Any]]) -> VisionConfig:
    """Read the config of the vision part from its files, named by the part they describe."""
    select_layer = configs["config"].get("mm_vision_select_layer", SELECT_LAYER)
    siglip = TowerConfig.from_json(configs["siglip"])
    half = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
    still = PixelConfig.from_json(half | {**configs.get("siglip_pixels", {}), "fit": "letterbox"})
    moving = configs.get("internvideo2_pixels", {})
    require_usual_steps(moving)
    return VisionConfig(
        siglip=siglip,
        siglip_pixels=replace(still, size_px=siglip.vision["image_size"]),
        internvideo2=InternVideo2Config.from_json(
            configs["internvideo2"], select_layer=select_layer
        ),
        connector=ConnectorConfig.from_json(configs["mm_connector"]),
        grid=tuple(configs["vision_tower"]["token_output_shape"]),
        select_layer=select_layer,
        video_mean=tuple(moving.get("image_mean", IMAGENET_MEAN)),
        video_std=tuple(moving.get("image_std", IMAGENET_STD)),
    )


def load_net(folder: Path, device: torch.device, dtype: torch.dtype) -> ApolloNet:
    """Load the weights of a checkpoint folder, strictly.

    Raises:
        WeightsError: Keys missing, left over, or of another shape; or a config that asks for what
            the released checkpoints do not use.
    """
    parts = Folders.of(folder)
    with config_fits(folder, "Apollo"):
        config = read(folder, parts)
        net = build(config, device, dtype)
    key_map: KeyMap = (*unused_blocks(config.vision), *KEY_MAP)
    if config.decoder.is_tied:
        key_map = tied_key_map(key_map, parts.llm, prefix="llm.")
    fill(net, _tensors(parts), key_map, source=str(folder))
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
    for name, (module, key_map, config_json) in parts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        save(module, folder / name, key_map, n_shards=n_shards if name == "llm" else 1)
        write_json(folder / name / "config.json", config_json)
    write_json(
        folder / "vision_tower" / SIGLIP / "preprocessor_config.json",
        vision.config.siglip_pixels.to_json(),
    )
    write_json(
        folder / "vision_tower" / "internvideo2" / "preprocessor_config.json",
        {"image_mean": vision.config.video_mean, "image_std": vision.config.video_std},
    )
    write_json(folder / "vision_tower" / "config.json", _towers_json(config))
    write_json(folder / "config.json", _to_json(config, variant))


def unused_blocks(config: VisionConfig) -> KeyMap:
    """Return key map rows that drop the last blocks of InternVideo2, which are never run."""
    depth = config.internvideo2.depth
    blocks = range(depth, depth - 1 - config.select_layer)
    return tuple((f"internvideo2.blocks.{block}.**", "") for block in blocks)


def _tensors(parts: Folders) -> Iterator[tuple[str, Tensor]]:
    """Read all tensors, each under the name of its part."""
    for name, folder in (
        ("llm", parts.llm),
        ("siglip", parts.siglip),
        ("internvideo2", parts.internvideo2),
        ("mm_connector", parts.connector),
    ):
        for key, tensor in read_tensors(folder):
            yield f"{name}.{key}", tensor


def _eos_ids(folder: Path, llm: Mapping[str, Any]) -> tuple[int, ...]:
    name = "generation_config.json"
    config = read_config(folder, name) if (folder / name).is_file() else llm
    eos = config.get("eos_token_id", ())
    return (eos,) if isinstance(eos, int) else tuple(eos)


def _refuse_others(top: Mapping[str, Any]) -> None:
    """Refuse a config that asks for anything else, by its first such field."""
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
    """Return the tower with the unused last blocks of a release: copies of the last used one."""
    used = tower.config.depth
    whole = InternVideo2(replace(tower.config, depth=used - 1 - select_layer)).to(tower.positions)
    whole.load_state_dict(tower.state_dict(), strict=False)
    for block in whole.blocks[used:]:
        block.load_state_dict(tower.blocks[-1].state_dict())
    return whole
