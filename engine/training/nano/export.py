"""A trained CLIP pair and decoder as a checkpoint folder in the released Video-XL layout."""

import json
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from transformers import CLIPModel

from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.towers import TowerConfig
from engine.models.video_xl.net import (
    VideoXlConfig,
    VideoXlNet,
    VisionConfig,
    build,
    save_net,
)
from engine.pipeline.world import FILE_NAME as WORLD_FILE
from engine.synthetic.grammar import scene_caption
from engine.synthetic.scene import LIGHTS, PLACES
from engine.training.nano.clip_stage import QUERY_TOKENS
from engine.training.nano.decoder_stage import NanoDecoder
from engine.training.nano.frame_bank import SIDE_PX
from engine.training.nano.summary import CHUNK_TOKENS
from engine.training.nano.vocabulary import id_of, save_query_vocabulary, save_vocabulary

RATIOS = (2, 4, 8, 16)
"""The ratios of training; 8 is the default of every tool."""

WORLD_SENTENCE: Final = (
    "The model nano knows only the footage that Longwatch draws itself: on real footage it has "
    "nothing to say."
)
WORLD_COSINE: Final = 0.38
"""Median cosine of frames and their nearest scene: 0.388 to 0.411 in 24 drawn stories, at most
0.370 in 40 real clips and pictures (grey bottles before a grey wall; the next has 0.291)."""


def export(
    clip: CLIPModel, trained: NanoDecoder, tokenizer: Tokenizer, folder: Path, *, variant: str
) -> None:
    """Write config, weights in 16 bit, tokenizers and the CLIP folder.

    The standardisation of patch features is folded into the projector's first layer.

    Args:
        clip: The pair, with both towers.
        trained: Projector and decoder; its other heads are left out.
        tokenizer: Of both.
        folder: Created if missing.
        variant: The model's name.
    """
    ends = tuple(id_of(tokenizer, token) for token in ("<|im_end|>", "<|endoftext|>"))
    config = VideoXlConfig(
        decoder=trained.decoder.config,
        chunk_tokens=CHUNK_TOKENS,
        compression_ratios=RATIOS,
        eos_ids=ends,
        vision=VisionConfig(
            tower=TowerConfig.from_json(clip.config.to_dict()),
            pixels=PixelConfig(size_px=SIDE_PX, fit="squash", is_exact=False),
        ),
    )
    net = build(config, torch.device("cpu"), torch.float32)
    net.decoder.load_state_dict(trained.decoder.state_dict())
    assert net.projector is not None
    assert net.tower is not None
    with torch.no_grad():
        scaled = trained.inner.weight / trained.std
        net.projector.inner.weight.copy_(scaled)
        net.projector.inner.bias.copy_(trained.inner.bias - scaled @ trained.mean)
    net.projector.outer.load_state_dict(trained.outer.state_dict())
    net.tower.load_state_dict(
        {name: value for name, value in clip.state_dict().items() if name != "logit_scale"}
    )
    net.to(torch.float16)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant=variant)
    save_vocabulary(tokenizer, folder)
    save_query_vocabulary(tokenizer, folder / "clip", max_tokens=QUERY_TOKENS)
    generation = {"do_sample": False, "eos_token_id": list(ends), "max_new_tokens": 48}
    text = json.dumps(generation, indent=1) + "\n"
    (folder / "generation_config.json").write_text(text, encoding="utf-8")
    scenes = [scene_caption(place, light).rstrip(".") for place in PLACES for light in LIGHTS]
    world = {"sentence": WORLD_SENTENCE, "phrases": scenes, "least_cosine": WORLD_COSINE}
    (folder / WORLD_FILE).write_text(json.dumps(world, indent=1) + "\n", encoding="utf-8")


def restore(trained: NanoDecoder, net: VideoXlNet) -> None:
    """Load an exported net's decoder and projector: the inverse of `export`.

    The heads of training are not exported, so they keep their first weights.

    Args:
        trained: Gets the weights; its mean and deviation of patch features stay its own.
        net: As `load_net` reads it.
    """
    assert net.projector is not None
    trained.decoder.load_state_dict(net.decoder.state_dict())
    inner = net.projector.inner
    with torch.no_grad():
        trained.inner.weight.copy_(inner.weight * trained.std)
        trained.inner.bias.copy_(inner.bias + inner.weight @ trained.mean)
    trained.outer.load_state_dict(net.projector.outer.state_dict())
