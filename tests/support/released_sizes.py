"""Models of four families at their released 7B sizes, on any device, without their weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from engine.evaluation.bench._released import RELEASED
from engine.models import tiny
from engine.models.apollo.model import CONTROL, Apollo
from engine.models.apollo.net import VARIANTS as APOLLO
from engine.models.apollo.net import build as build_apollo
from engine.models.layers.decoder_config import LLAMA_7B, DecoderConfig
from engine.models.layers.text_image import TextEncoder
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import (
    CLIP_LARGE_336,
    SIGLIP_SO400M_384,
    Tower,
    TowerConfig,
    pixels_of,
)
from engine.models.pllava.model import Pllava
from engine.models.pllava.net import PllavaConfig
from engine.models.pllava.net import build as build_pllava
from engine.models.pllava.prompts import VIDEO_TAG
from engine.models.video_xl.model import VideoXl
from engine.models.video_xl.net import build as build_video_xl
from engine.models.videollama2.model import VideoLlama2
from engine.models.videollama2.net import VideoLlama2Config
from engine.models.videollama2.net import build as build_videollama2
from engine.records import Fingerprint

QWEN2_7B: Final = replace(RELEASED.decoder, has_vst=False)
CLIP: Final = TowerConfig.from_json(CLIP_LARGE_336)
SIGLIP: Final = TowerConfig.from_json(SIGLIP_SO400M_384)
PLLAVA: Final = PllavaConfig(
    decoder=replace(DecoderConfig.from_json(LLAMA_7B), vocab_size=32_064, max_positions=4096),
    tower=CLIP,
    pixels=pixels_of(CLIP),
)
VIDEOLLAMA2: Final = VideoLlama2Config(
    decoder=QWEN2_7B,
    tower=SIGLIP,
    pixels=pixels_of(SIGLIP),
    connector="stc_connector_v35",
    is_qwen=True,
)

Model = VideoXl | Apollo | Pllava | VideoLlama2


def build_model(family: str, device: torch.device, dtype: torch.dtype, folder: Path) -> Model:
    """Return a model of a family's 7B size whose weights hold nothing.

    Args:
        family: As in `FAMILIES`.
        device: Of the weights.
        dtype: Of the weights.
        folder: Takes a byte tokenizer, which makes more tokens of a text than the released ones.
    """
    return FAMILIES[family](device, dtype, folder)


def _video_xl(device: torch.device, dtype: torch.dtype, folder: Path) -> VideoXl:
    tiny.write_byte_tokenizer(folder, CONTROL)
    net = build_video_xl(RELEASED, device, dtype)
    assert net.tower is not None
    return VideoXl(net, Tokenizer.load(folder), _text(net.tower), **_NAMES)


def _apollo(device: torch.device, dtype: torch.dtype, folder: Path) -> Apollo:
    tiny.write_byte_tokenizer(folder, CONTROL)
    net = build_apollo(APOLLO["7b"], device, dtype)
    return Apollo(net, Tokenizer.load(folder), _text(net.vision.siglip), **_NAMES)


def _pllava(device: torch.device, dtype: torch.dtype, folder: Path) -> Pllava:
    tiny.write_byte_tokenizer(folder, ("<pad>", VIDEO_TAG, "<s>", "</s>"), opened=True)
    net = build_pllava(PLLAVA, device, dtype)
    return Pllava(net, Tokenizer.load(folder), _text(net.tower), **_NAMES)


def _videollama2(device: torch.device, dtype: torch.dtype, folder: Path) -> VideoLlama2:
    tiny.write_byte_tokenizer(folder, CONTROL)
    net = build_videollama2(VIDEOLLAMA2, device, dtype)
    return VideoLlama2(net, Tokenizer.load(folder), _text(net.tower), **_NAMES)


def _text(tower: Tower) -> TextEncoder:
    return TextEncoder(tower, None, None)


_NAMES: Final[dict[str, Any]] = {"variant": "7b", "fingerprint": Fingerprint("0")}
FAMILIES: Final[Mapping[str, Callable[[torch.device, torch.dtype, Path], Model]]] = {
    "video_xl": _video_xl,
    "apollo": _apollo,
    "pllava": _pllava,
    "videollama2": _videollama2,
}
