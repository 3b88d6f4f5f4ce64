"""PLLaVA's net: sizes, key map, pooling, and the strict loader of its checkpoint folders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.layers import decoder as decoders
from engine.models.layers import lora
from engine.models.layers.allocation import materialise
from engine.models.layers.config_fit import config_fits
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import LLAMA_7B, DecoderConfig
from engine.models.layers.preprocess import PixelConfig, require_usual_steps
from engine.models.layers.preprocessor_files import find_preprocessor
from engine.models.layers.products import Linear
from engine.models.layers.text_image import encode_frames
from engine.models.layers.towers import Tower, TowerConfig
from engine.models.layers.weights import (
    fill,
    keys_of,
    read_config,
    read_tensors,
    save,
    under,
    write_json,
)

RELEASED_ALPHA = 4.0
"""Adapter strength of every released script and number; training used 32."""
RELEASED_TOWER = "clip-vit-large-patch14-336"
"""Configs do not name their tower."""
WRAPPER = "language_model.base_model.model."
"""Prefix that peft puts before the decoder's names in released shards."""

KEY_MAP = (
    *under("language_model.", decoders.KEY_MAP, "decoder."),
    ("multi_modal_projector.linear_1.*", "projector.inner.*"),
    ("multi_modal_projector.linear_2.*", "projector.outer.*"),
    ("vision_tower.vision_model.embeddings.position_ids", ""),
    ("vision_tower.**", "tower.**"),
    ("image_newline", ""),
)
"""Released names once adapters are fused and peft's wrapper is taken off."""
RELEASED_NAMES = (
    (
        f"{WRAPPER}model.layers.*.self_attn.q_proj.base_layer.*",
        "decoder.layers.*.attention.qkv.q.*",
    ),
    (
        f"{WRAPPER}model.layers.*.self_attn.v_proj.base_layer.*",
        "decoder.layers.*.attention.qkv.v.*",
    ),
    (f"{WRAPPER}model.layers.*.self_attn.*.lora_A.default.weight", "adapters.*.*.down"),
    (f"{WRAPPER}model.layers.*.self_attn.*.lora_B.default.weight", "adapters.*.*.up"),
    *under(WRAPPER, decoders.KEY_MAP, "decoder."),
    *KEY_MAP,
)
"""Names as released, for writing: the decoder under its wrapper, adapters beside their bases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PllavaConfig:
    """Everything that shapes the family's computation."""

    decoder: DecoderConfig
    tower: TowerConfig
    pixels: PixelConfig
    chunk_frames: int = 16
    pooling: tuple[int, int, int] = (16, 12, 12)
    """Frames, rows and columns that a full chunk keeps."""
    select_layer: int = -2


class Projector(nn.Module):
    """Two linear layers with an exact GELU between them, on every patch."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.inner = Linear(n_in, width)
        self.outer = Linear(width, width)

    def forward(
        self, features: Float[Tensor, "frame patch inner"]
    ) -> Float[Tensor, "frame patch width"]:
        """Project patch features to decoder space; pooling comes after."""
        projected: Tensor = self.outer(F.gelu(self.inner(features)))
        return projected


class PllavaNet(nn.Module):
    """The weights: tower, projector, decoder, and a joint tower where it differs."""

    def __init__(self, config: PllavaConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.decoder)
        self.tower = Tower(config.tower)
        self.joint: Tower | None = None
        self.projector = Projector(self.tower.width, config.decoder.width)

    def visual_tokens(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
        """Compute projected patches and unit vectors of prepared pixels."""
        features, vectors = encode_frames(self.tower, self.joint, pixels, self.config.select_layer)
        return self.projector(features), vectors

    def pool(
        self, tokens: Float[Tensor, "frame patch width"], compression_ratio: int
    ) -> Float[Tensor, "latent width"]:
        """Average the volume of one chunk; a short one keeps its share of pooled frames."""
        n_frames, grid = tokens.shape[0], self.tower.grid
        rows, cols = self.pooled_grid(compression_ratio)
        # Rounded up: the last frames of a video get a pooled frame even where they fill none.
        kept = ceil(n_frames * self.config.pooling[0] / self.config.chunk_frames)
        return pool_clip(tokens, (grid, grid), (kept, rows, cols))

    @property
    def compression_ratio(self) -> int:
        """Patches for each pooled token, as configured."""
        frames, rows, cols = self.config.pooling
        return max(1, self.config.chunk_frames * self.tower.grid**2 // (frames * rows * cols))

    def pooled_grid(self, compression_ratio: int) -> tuple[int, int]:
        """Return rows and columns of a pooled frame at a ratio: the configured ones, or a square.

        Raises:
            ValueError: No square has this ratio; the message lists those that do.
        """
        grid, (frames, rows, cols) = self.tower.grid, self.config.pooling
        total = self.config.chunk_frames * grid**2
        squares = (side for side in range(1, grid + 1) if not total % (frames * side**2))
        grids = {total // (frames * side**2): (side, side) for side in squares}
        grids[self.compression_ratio] = (rows, cols)
        if compression_ratio not in grids:
            allowed = ", ".join(str(ratio) for ratio in sorted(grids))
            raise ValueError(f"compression_ratio must be one of {allowed}, not {compression_ratio}")
        return grids[compression_ratio]


def pool_clip(
    tokens: Float[Tensor, "frame patch width"],
    grid: tuple[int, int],
    target: tuple[int, int, int],
) -> Float[Tensor, "latent width"]:
    """Average the tokens of one clip into a volume of `target` size.

    Output `i` of an axis covers inputs `floor(i*in/out)` to `ceil((i+1)*in/out)`, so the target
    need not divide the input and may even be larger.

    Args:
        tokens: Patches row by row.
        grid: Rows and columns of a frame.
        target: Frames, rows and columns of the result.
    Returns:
        Frame slowest, then row, then column.
    Source: arXiv:2404.16994 section 3.3 (its "adaptive average structure pooling").
    """
    rows, cols = grid
    if rows * cols != tokens.shape[1]:
        raise ValueError(f"{tokens.shape[1]} patches are no {rows} x {cols} grid")
    # The pooling layer wants channels first: frame (row col) width -> width frame row col
    volume = tokens.permute(2, 0, 1).reshape(-1, tokens.shape[0], rows, cols)
    pooled = F.adaptive_avg_pool3d(volume, target)
    return pooled.flatten(1).transpose(0, 1).contiguous()


def build(config: PllavaConfig, device: torch.device, dtype: torch.dtype) -> PllavaNet:
    """Allocate a net without values; `load_net` fills it."""
    with torch.device("meta"):
        net = PllavaNet(config)
    materialise(net, device, dtype)
    return net.eval()


class Adapters(nn.Module):
    """Trainable halves of one layer's adapted projections."""

    def __init__(self, config: DecoderConfig, rank: int) -> None:
        super().__init__()
        rows = {"q_proj": config.n_heads, "v_proj": config.n_kv_heads}
        for name, n_heads in rows.items():
            half = nn.Module()
            half.down = nn.Parameter(torch.zeros(rank, config.width))
            half.up = nn.Parameter(torch.zeros(n_heads * config.head_dim, rank))
            self.add_module(name, half)


def save_net(
    net: PllavaNet, adapters: nn.ModuleList, folder: Path, *, variant: str, n_shards: int = 1
) -> None:
    """Write config and weights as released: adapters unfused, the tower's text side beside.

    Args:
        net: Its tower may have a text side, which goes to a folder of its own.
        adapters: One `Adapters` for each layer, of one rank.
        folder: Exists.
        variant: Written into the config.
        n_shards: More than one writes an index.
    """
    vision = nn.ModuleDict({"vision_model": net.tower.vision_model})
    parts = {"decoder": net.decoder, "projector": net.projector, "tower": vision}
    parts["adapters"] = adapters
    save(nn.ModuleDict(parts), folder, RELEASED_NAMES, n_shards=n_shards)
    pixels = net.config.pixels.to_json()
    write_json(folder / "config.json", _to_json(net.config, variant))
    write_json(folder / "preprocessor_config.json", pixels)
    if net.tower.has_text:
        beside = folder / RELEASED_TOWER
        beside.mkdir(exist_ok=True)
        save(net.tower, beside, (("**", "**"),))
        write_json(beside / "config.json", net.tower.config.to_json())
        write_json(beside / "preprocessor_config.json", pixels)


def read(folder: Path) -> PllavaConfig:
    """Read the family's config from a checkpoint folder.

    Raises:
        WeightsError: It asks for what no release uses.
    """
    raw = read_config(folder)
    _refuse_others(raw)
    vision = raw["vision_config"]
    grid = vision["image_size"] // vision["patch_size"]
    if raw.get("frame_shape", [grid, grid]) != [grid, grid]:
        raise WeightsError(
            f"config.json has frame_shape {raw['frame_shape']}; the tower's is {grid}"
        )
    pixels = PixelConfig(size_px=vision["image_size"], fit="crop")
    _refuse_other_pixels(folder, pixels)
    frames, rows, cols = raw.get("pooling_shape", (16, 12, 12))
    return PllavaConfig(
        decoder=DecoderConfig.from_json(LLAMA_7B | raw["text_config"]),
        tower=TowerConfig(kind="clip", vision=vision),
        pixels=pixels,
        chunk_frames=raw.get("num_frames", 16),
        pooling=(frames, rows, cols),
        select_layer=raw.get("vision_feature_layer", -2),
    )


def load_net(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    alpha: float = RELEASED_ALPHA,
    base: Path | None = None,
) -> PllavaNet:
    """Load the weights of a checkpoint folder, strictly, with adapters fused at a strength.

    Args:
        folder: A full release, a plain image model, or adapters and projector alone.
        device: Where the weights go.
        dtype: What they are cast to.
        alpha: Strength of the adapters; 0 leaves the image model with the trained projector.
        base: The image model that adapters alone were trained on.
    Raises:
        WeightsError: Keys missing, left over, or of another shape.
    """
    with config_fits(folder, "PLLaVA"):
        config = read(folder)
        net = build(config, device, dtype)
    rows = config.decoder.vocab_size
    fill(
        net,
        fused_tensors(folder, alpha, base=base),
        KEY_MAP,
        source=str(folder),
        cut_rows={"decoder.embed.weight": rows, "decoder.head.weight": rows},
    )
    return net


def fused_tensors(
    folder: Path, alpha: float, *, base: Path | None = None
) -> Iterator[tuple[str, Tensor]]:
    """Read a folder's tensors under plain names, adapters fused; `base` gives those it lacks."""
    own = frozenset(lora.bare(_unwrapped(key)) for key in keys_of(folder))
    halves = read_tensors(folder, wanted=lora.is_adapter)
    adapted = lora.adapters(((_unwrapped(key), half) for key, half in halves), source=str(folder))
    stored = read_tensors(folder, wanted=lambda key: not lora.is_adapter(key))
    of_base = () if base is None else read_tensors(base, wanted=lambda key: key not in own)
    named = ((_unwrapped(key), tensor) for key, tensor in chain(stored, of_base))
    return lora.fuse(named, adapted, alpha, source=str(folder))


def _to_json(config: PllavaConfig, variant: str) -> dict[str, Any]:
    grid = config.tower.vision["image_size"] // config.tower.vision["patch_size"]
    return {
        # The spelling of the releases.
        "architectures": ["PlavaForConditionalGeneration"],
        "model_type": "llava",
        "variant": variant,
        "text_config": {"model_type": "llama", **config.decoder.to_json()},
        "vision_config": {"model_type": "clip_vision_model", **config.tower.vision},
        "frame_shape": [grid, grid],
        "num_frames": config.chunk_frames,
        "pooling_shape": list(config.pooling),
        "pooling_method": "avg",
        "use_pooling": True,
        "projector_hidden_act": "gelu",
        "vision_feature_layer": config.select_layer,
        "vision_feature_select_strategy": "default",
    }


def _unwrapped(key: str) -> str:
    return "language_model." + key.removeprefix(WRAPPER) if key.startswith(WRAPPER) else key


def _refuse_other_pixels(folder: Path, pixels: PixelConfig) -> None:
    """Refuse frames that are prepared otherwise than for CLIP; sizes are the tower's own."""
    raw = find_preprocessor(folder, "image") or {}
    require_usual_steps(raw)
    own = {"image_mean": [*pixels.mean], "image_std": [*pixels.std], "resample": pixels.filter}
    for field, value in own.items():
        if raw.get(field, value) != value:
            raise WeightsError(f"its preprocessor has {field} {raw[field]!r}; supported: {value!r}")


def _refuse_others(raw: Mapping[str, Any]) -> None:
    """Refuse a config that asks for anything else, by its first such field."""
    allowed = {
        "projector_hidden_act": "gelu",
        "vision_feature_select_strategy": "default",
        "pooling_method": "avg",
        "use_pooling": True,
    }
    for field, value in allowed.items():
        if raw.get(field, value) != value:
            raise WeightsError(f"config.json has {field} {raw[field]!r}; supported: {value!r}")
    for field in ("text_config", "vision_config"):
        if not isinstance(raw.get(field), dict):
            raise WeightsError(f"config.json has no {field}")
