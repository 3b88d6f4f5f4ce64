"""VideoLLaMA 2 on transformers' Mixtral: tiny random checkpoints in the released layout."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import MixtralConfig, MixtralForCausalLM

from engine.models import tiny
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.towers import Tower, TowerConfig, pixels_of
from engine.models.videollama2.checkpoint import save_net
from engine.models.videollama2.net import VideoLlama2Config, build

CPU = torch.device("cpu")
TOWER = TowerConfig(kind="siglip", vision=tiny.VISION)


def save_random(folder: Path, seed: int, *, connector: str = "stc_connector") -> Any:
    """A random Mixtral of theirs, saved by them, below a tower and a connector of ours."""
    draw = random.Random(seed)
    n_kv_heads, head_dim = draw.choice([1, 2]), draw.choice([8, 12])
    n_heads = n_kv_heads * draw.choice([1, 2, 3])
    n_experts = draw.choice([2, 4, 8])
    config = MixtralConfig(
        vocab_size=264,
        hidden_size=n_heads * draw.choice([8, 12]),
        intermediate_size=draw.choice([24, 40]),
        num_hidden_layers=draw.choice([1, 2, 3]),
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads,
        head_dim=head_dim,
        rms_norm_eps=1e-5,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        num_local_experts=n_experts,
        num_experts_per_tok=draw.choice([1, 2, min(3, n_experts)]),
        sliding_window=None,
    )
    torch.manual_seed(seed)
    model = MixtralForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    theirs = folder.with_name(f"{folder.name}-decoder")
    model.save_pretrained(theirs)
    ours = VideoLlama2Config(
        decoder=DecoderConfig.from_json(json.loads((theirs / "config.json").read_text())),
        tower=TOWER,
        pixels=pixels_of(TOWER),
        connector=connector,
        chunk_frames=4,
    )
    net = build(ours, CPU, torch.float32)
    tiny.randomise(net, seed=seed)
    whole = Tower(TowerConfig(kind="siglip", vision=tiny.VISION))
    whole.vision_model.load_state_dict(net.tower.vision_model.state_dict())
    folder.mkdir(parents=True)
    save_net(net, folder, variant="tiny", tower=whole, n_shards=3)
    _take_over(folder, load_file(theirs / "model.safetensors"))
    tiny.write_byte_tokenizer(folder, ("<pad>", "<s>", "</s>"), opened=True)
    tiny.write_byte_tokenizer(folder / "tower", ("<pad>", "<s>", "</s>"), framed=True)
    return model


def _take_over(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Put tensors into the shards that hold those of the same names: every one has its place."""
    left = dict(tensors)
    for path in sorted(folder.glob("model-*.safetensors")):
        shard = load_file(path)
        shard |= {key: left.pop(key) for key in list(left) if key in shard}
        save_file(shard, path, metadata={"format": "pt"})
    assert not left
