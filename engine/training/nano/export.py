"""A trained pair and reader as a checkpoint folder in the released Video-XL layout."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import CLIPModel

from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.towers import TowerConfig
from engine.models.video_xl.net import VideoXlConfig, VisionConfig, build, save_net
from engine.training.nano.clip_stage import QUERY_TOKENS
from engine.training.nano.decoder_stage import CHUNK_TOKENS, Reader
from engine.training.nano.frame_bank import SIDE_PX
from engine.training.nano.vocabulary import id_of, save_query_vocabulary, save_vocabulary

RATIOS = (2, 4, 8, 16)
"""What the reader was trained on; 8 is the default of every tool."""


def export(
    clip: CLIPModel, reader: Reader, tokenizer: Tokenizer, folder: Path, *, variant: str
) -> None:
    """Write config, weights in 16 bit, tokenizers and the CLIP folder.

    The standardisation of patch features is folded into the projector's first layer.

    Args:
        clip: The pair, with both towers.
        reader: Projector and decoder.
        tokenizer: Of both.
        folder: Made if missing.
        variant: The model's name.
    """
    ends = tuple(id_of(tokenizer, token) for token in ("<|im_end|>", "<|endoftext|>"))
    config = VideoXlConfig(
        decoder=reader.decoder.config,
        chunk_tokens=CHUNK_TOKENS,
        compression_ratios=RATIOS,
        eos_ids=ends,
        vision=VisionConfig(
            tower=TowerConfig.from_json(clip.config.to_dict()),
            pixels=PixelConfig(size_px=SIDE_PX, fit="squash", is_exact=False),
        ),
    )
    net = build(config, torch.device("cpu"), torch.float32)
    net.decoder.load_state_dict(reader.decoder.state_dict())
    assert net.projector is not None
    assert net.tower is not None
    with torch.no_grad():
        scaled = reader.inner.weight / reader.std
        net.projector.inner.weight.copy_(scaled)
        net.projector.inner.bias.copy_(reader.inner.bias - scaled @ reader.mean)
    net.projector.outer.load_state_dict(reader.outer.state_dict())
    net.tower.load_state_dict(
        {name: value for name, value in clip.state_dict().items() if name != "logit_scale"}
    )
    net.to(torch.float16)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant=variant)
    save_vocabulary(tokenizer, folder)
    save_query_vocabulary(tokenizer, folder / "clip", max_tokens=QUERY_TOKENS)
    said = {"do_sample": False, "eos_token_id": list(ends), "max_new_tokens": 48}
    text = json.dumps(said, indent=1) + "\n"
    (folder / "generation_config.json").write_text(text, encoding="utf-8")
