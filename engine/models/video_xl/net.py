"""Video-XL's net: sizes, key map, and the strict loader of its checkpoint folders."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.layers import decoder as decoders
from engine.models.layers.allocation import materialise
from engine.models.layers.config_fit import config_fits
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.products import Linear
from engine.models.layers.text_image import encode_frames, load_joint
from engine.models.layers.tied_head import tied_key_map
from engine.models.layers.towers import Tower, TowerConfig, TowerFiles, find_tower, load_tower
from engine.models.layers.weights import (
    fill,
    keys_of,
    read_config,
    read_tensors,
    save,
    under,
    write_json,
)

KEY_MAP = (
    *under("", decoders.KEY_MAP, "decoder."),
    ("model.beacon_embed_tokens.weight", "decoder.vst_embed"),
    ("model.layers.*.self_attn.beacon_q_proj.*", "decoder.layers.*.attention.vst_qkv.q.*"),
    ("model.layers.*.self_attn.beacon_k_proj.*", "decoder.layers.*.attention.vst_qkv.k.*"),
    ("model.layers.*.self_attn.beacon_v_proj.*", "decoder.layers.*.attention.vst_qkv.v.*"),
    ("model.mm_projector.0.*", "projector.inner.*"),
    ("model.mm_projector.2.*", "projector.outer.*"),
    ("model.vision_tower.vision_tower.vision_model.embeddings.position_ids", ""),
    ("model.vision_tower.vision_tower.**", "tower.**"),
)


TOWER_NAME = "clip"
"""Subfolder of the tower in checkpoints that we write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionConfig:
    """From pixels to visual tokens."""

    tower: TowerConfig
    pixels: PixelConfig
    select_layer: int = -2
    pool_stride: int = 2
    pool_mode: str = "average"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoXlConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    chunk_tokens: int
    """Visual tokens of one chunk; upstream's window."""
    compression_ratios: tuple[int, ...]
    eos_ids: tuple[int, ...]
    vision: VisionConfig | None = None
    """`None` for a decoder alone, which compresses given tokens."""

    def __post_init__(self) -> None:
        if self.decoder.has_qk_norm or self.decoder.rope_sections is not None:
            raise ValueError(
                "chunks are compressed by decoders like Qwen2's, without norms of heads"
            )

    @property
    def compression_ratio(self) -> int:
        """The default: 8 as in upstream's demo, or the largest allowed."""
        return 8 if 8 in self.compression_ratios else max(self.compression_ratios)


class Projector(nn.Module):
    """Two linear layers with an exact GELU between them, then pooling of the patch grid."""

    def __init__(self, n_in: int, width: int, config: VisionConfig) -> None:
        super().__init__()
        self.inner = Linear(n_in, width)
        self.outer = Linear(width, width)
        self.stride, self.mode = config.pool_stride, config.pool_mode

    def forward(
        self, features: Float[Tensor, "frame patch inner"]
    ) -> Float[Tensor, "frame token width"]:
        """Turn patch features into visual tokens, row by row."""
        hidden = F.gelu(self.inner(features))
        # A mean commutes with the linear layer, so that layer runs on a quarter of the rows.
        if self.mode == "average":
            pooled: Tensor = self.outer(self._blocks(hidden).mean(2))
            return pooled
        return self._blocks(self.outer(hidden)).amax(2)

    def _blocks(self, x: Tensor) -> Tensor:
        """Group the patches of each token on axis 2; patches that do not fill one are cut."""
        side, step = int(x.shape[1] ** 0.5), self.stride
        kept = side // step
        # frame (row col) width -> frame row col width
        grid = x.view(x.shape[0], side, side, -1)[:, : kept * step, : kept * step]
        cells = grid.reshape(x.shape[0], kept, step, kept, step, -1).transpose(2, 3)
        return cells.reshape(x.shape[0], kept * kept, step * step, -1)


class VideoXlNet(nn.Module):
    """The weights: decoder with VSTs, tower, projector, and a joint tower where it differs."""

    def __init__(self, config: VideoXlConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.decoder)
        self.tower: Tower | None = None
        self.joint: Tower | None = None
        self.projector: Projector | None = None
        if config.vision is not None:
            self.tower = Tower(config.vision.tower)
            self.projector = Projector(self.tower.width, config.decoder.width, config.vision)

    def visual_tokens(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame token width"], Float32[Tensor, "frame dim"]]:
        """Compute visual tokens and unit vectors of prepared pixels."""
        assert self.config.vision is not None
        assert self.tower is not None
        assert self.projector is not None
        features, vectors = encode_frames(
            self.tower, self.joint, pixels, self.config.vision.select_layer
        )
        return self.projector(features), vectors


def build(config: VideoXlConfig, device: torch.device, dtype: torch.dtype) -> VideoXlNet:
    """Allocate a net without values; `load_net` fills it."""
    with torch.device("meta"):
        net = VideoXlNet(config)
    materialise(net, device, dtype)
    return net.eval()


def read(folder: Path, files: TowerFiles | None) -> VideoXlConfig:
    """Read the family's config from a checkpoint folder and the files of its tower.

    Raises:
        WeightsError: It asks for what neither the release nor nano uses.
    """
    raw = read_config(folder)
    _refuse_others(raw)
    eos, ratios = raw.get("eos_token_id", ()), raw["beacon_ratio"]
    return VideoXlConfig(
        # Upstream forces scaling off, whatever the config says.
        decoder=DecoderConfig.from_json(raw | {"rope_scaling": None}, has_vst=True),
        chunk_tokens=raw["beacon_window"],
        compression_ratios=tuple(ratios) if isinstance(ratios, list) else (ratios,),
        eos_ids=(eos,) if isinstance(eos, int) else tuple(eos),
        vision=None if files is None else _vision(folder, raw, files),
    )


def load_net(
    folder: Path, device: torch.device, dtype: torch.dtype, *, tower: Path | None = None
) -> VideoXlNet:
    """Load the weights of a checkpoint folder, strictly.

    Args:
        folder: With config.json and safetensors.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The tower's folder, if not the one that the config names.
    Raises:
        WeightsError: Keys missing, left over, or of another shape.
    """
    named = read_config(folder).get("mm_vision_tower")
    with config_fits(folder, "Video-XL"):
        files = find_tower(folder, named, tower) if named else None
        config = read(folder, files)
        net = build(config, device, dtype)
    rows = config.decoder.vocab_size
    filled = fill(
        net,
        stored_tensors(folder, config.eos_ids),
        tied_key_map(KEY_MAP, folder) if config.decoder.is_tied else KEY_MAP,
        source=str(folder),
        # Tables may be padded beyond the vocabulary.
        cut_rows={"decoder.embed.weight": rows, "decoder.head.weight": rows},
        optional=_MAY_MISS,
    )
    if files is not None:
        _complete_towers(net, filled, files, folder)
    return net


def stored_tensors(folder: Path, eos_ids: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """Read a checkpoint; one without summary tokens starts them from its base projections.

    Raises:
        WeightsError: It has none, and no end token whose embedding they could take.
    """
    if any(_OF_VST in key for key in keys_of(folder)):
        yield from read_tensors(folder)
        return
    if not eos_ids:
        raise WeightsError(f"{folder} has neither summary-token weights nor an eos_token_id")
    for key, tensor in read_tensors(folder):
        yield key, tensor
        if key == _EMBEDDING:
            yield "model.beacon_embed_tokens.weight", tensor[eos_ids[0]][None]
        elif match := _BASE.fullmatch(key):
            yield f"{match[1]}beacon_{match[2]}", tensor


def save_net(net: VideoXlNet, folder: Path, *, variant: str, n_shards: int = 1) -> None:
    """Write config and weights as a checkpoint folder that `load_net` reads; no tokenizers.

    A tower with a text side goes to the subfolder `clip` as a full CLIP; a vision tower alone
    goes under the decoder's keys, as released. A net without a tower is its decoder alone.
    """
    config, tower = net.config, net.joint or net.tower
    part = nn.ModuleDict({"decoder": net.decoder})
    if net.projector is not None:
        part["projector"] = net.projector
    if net.tower is not None and (net.joint is not None or not net.tower.has_text):
        part["tower"] = nn.ModuleDict({"vision_model": net.tower.vision_model})
    save(part, folder, KEY_MAP, n_shards=n_shards)
    write_json(folder / "config.json", _to_json(config, variant))
    if config.vision is None or tower is None:
        return
    clip = folder / TOWER_NAME
    clip.mkdir(exist_ok=True)
    if tower.has_text:
        save(tower, clip, (("**", "**"),))
    write_json(clip / "config.json", tower.config.to_json())
    write_json(clip / "preprocessor_config.json", config.vision.pixels.to_json())


def _to_json(config: VideoXlConfig, variant: str) -> dict[str, Any]:
    vision, ratios = config.vision, list(config.compression_ratios)
    sees = {} if vision is None else _vision_json(vision)
    return {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "variant": variant,
        **config.decoder.to_json(),
        "eos_token_id": list(config.eos_ids),
        "enable_beacon": True,
        "beacon_window": config.chunk_tokens,
        "beacon_stride": config.chunk_tokens,
        "beacon_attn": "full-coverage",
        "beacon_ratio": ratios,
        "beacon_ratio_mix": "step-random",
        "beacon_param": ["q", "k", "v"],
        "beacon_embed_init": "eos",
        "beacon_sink_size": 0,
        "beacon_attend_prev": True,
        "beacon_pos": "interleave",
        "beacon_parallel_window": 1,
        "beacon_accum": True,
        **sees,
    }


def _vision_json(vision: VisionConfig) -> dict[str, Any]:
    return {
        "mm_vision_tower": TOWER_NAME,
        "mm_hidden_size": vision.tower.vision["hidden_size"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": vision.select_layer,
        "mm_vision_select_feature": "patch",
        "mm_patch_merge_type": "unires",
        "mm_resampler_type": "spatial_pool",
        "mm_spatial_pool_stride": vision.pool_stride,
        "mm_spatial_pool_mode": vision.pool_mode,
    }


_MAY_MISS = r"tower\..*"
"""Slots that `load_net` fills from elsewhere when a checkpoint lacks them altogether."""
_OF_VST = ".beacon_"
_BASE = re.compile(r"(model\.layers\.\d+\.self_attn\.)([qkv]_proj\..*)")
_EMBEDDING = "model.embed_tokens.weight"


def _refuse_others(raw: Mapping[str, Any]) -> None:
    """Refuse a config that asks for anything else, by its first such field."""
    allowed = {
        "beacon_pos": ("interleave",),
        "beacon_attn": ("full-coverage",),
        "beacon_stride": (raw["beacon_window"],),
        "beacon_accum": (True,),
        "beacon_attend_prev": (True,),
        "beacon_parallel_window": (1,),
        "enable_beacon": (True,),
        "beacon_sink_size": (0,),
        "mm_projector_type": ("mlp2x_gelu",),
        "mm_vision_select_feature": ("patch",),
        "mm_spatial_pool_mode": ("average", "max"),
    }
    for field, values in allowed.items():
        if field in raw and raw[field] not in values:
            raise WeightsError(f"config.json has {field} {raw[field]!r}; supported: {values[0]!r}")
    if sorted(raw.get("beacon_param", "kqv")) != ["k", "q", "v"]:
        raise WeightsError(
            f"config.json has beacon_param {raw['beacon_param']}; supported: q, k, v"
        )


def _vision(folder: Path, raw: Mapping[str, Any], files: TowerFiles) -> VisionConfig:
    # A config alone, by which memory is planned, stands for a release, which holds its tower.
    is_bare = not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin"))
    has_own = is_bare or any(key.startswith("model.vision_tower.") for key in keys_of(folder))
    if not has_own and files.folder is None:
        raise WeightsError(
            f"{folder} brings no weights of its vision tower, nor is there a folder with them",
            hint=f"put the tower's folder beside the weights as {raw['mm_vision_tower']!r}",
        )
    return VisionConfig(
        tower=files.config.vision_only() if has_own else files.config,
        pixels=files.pixels,
        select_layer=raw.get("mm_vision_select_layer", -1),
        pool_stride=raw.get("mm_spatial_pool_stride", 2),
        pool_mode=raw.get("mm_spatial_pool_mode", "average"),
    )


def copy_base_to_vst(net: VideoXlNet) -> None:
    """Give summary tokens the base projections, and the embedding of the first end token."""
    decoder = net.decoder
    assert decoder.vst_embed is not None
    with torch.no_grad():
        decoder.vst_embed.copy_(decoder.embed.weight[net.config.eos_ids[0]])
        for layer in decoder.stack():
            assert layer.attention.vst_qkv is not None
            layer.attention.vst_qkv.load_state_dict(layer.attention.qkv.state_dict())


def _complete_towers(
    net: VideoXlNet, filled: Mapping[str, bool], files: TowerFiles, folder: Path
) -> None:
    """Fill the tower from its own folder where the checkpoint lacks it; else join the two."""
    assert net.tower is not None
    ours = [name for name in filled if name.startswith("tower.")]
    missing = [name for name in ours if not filled[name]]
    if missing and len(missing) < len(ours):
        raise WeightsError(f"{folder} lacks some of its tower's weights: {missing[0]}, ...")
    if not missing:
        net.tower, net.joint = load_joint(net.tower, files)
        return
    assert files.folder is not None
    load_tower(net.tower, files.folder)
