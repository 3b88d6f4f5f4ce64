"""Apollo: the authors' pre-release model code and released host-side tools, torch 2.13, float32.

SigLIP is that of transformers 4.57. Tolerance 1e-4 absolute; frame numbers, texts, ids and padded
bytes must be equal. Pixels may differ by one grey level, over the spread that they are divided
by, because the resizes of OpenCV and Pillow round differently between versions. Weights go
through the key maps of real checkpoints.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.models.apollo import internvideo2, resampler
from engine.models.apollo.checkpoint import VISION_KEY_MAP, read_vision, unused_blocks
from engine.models.apollo.internvideo2 import (
    IMAGENET_STD,
    InternVideo2,
    InternVideo2Config,
    square,
)
from engine.models.apollo.net import ApolloVision, join
from engine.models.apollo.prompts import TEMPLATE, introduce
from engine.models.apollo.resampler import Connector, ConnectorConfig
from engine.models.layers import preprocess
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.splice import PLACEHOLDER_ID, splice, splice_batch
from engine.models.layers.weights import fill
from tests.parity._case import Quantity, difference, mismatches
from tests.support.released_apollo import ClipSampling, encode_with_placeholders

HALF = (0.5, 0.5, 0.5)
LEVEL = 1 / 255
Quantities = Mapping[str, Quantity]


def recognises(folder: Path) -> bool:
    """Tell whether a folder is a case of any kind below."""
    return _kind(folder) is not None


@torch.inference_mode()
def run(folder: Path) -> Quantities:
    """Compare every expected number of a case with ours."""
    kind = _kind(folder)
    assert kind is not None
    return kind(folder)


def _kind(folder: Path) -> Callable[[Path], Quantities] | None:
    """Find the kind of a folder by the fields of its files."""
    config = _json(folder / "config.json", {})
    sampled = _json(folder / "sampling.json", []) or [{}]
    if "clip_duration" in sampled[0].get("input", {}):
        return _host_side
    if config.get("model_type") == "mm_connector":
        return _connector
    if config.get("model_type") == "internvideo2":
        return _internvideo2
    if {"siglip", "internvideo2", "mm_connector"} <= set(config):
        return _vision_pipeline
    if {"placeholder_id", "tokenizer_model_max_length"} <= set(config):
        return _embed_merge
    if {"siglip_size", "internvideo_size"} <= set(config):
        return _preprocess
    return None


def _connector(folder: Path) -> Quantities:
    weights, inputs, expected = _tensors(folder)
    connector = Connector(ConnectorConfig.from_json(_json(folder / "config.json")))
    fill(connector, weights.items(), resampler.KEY_MAP, source=str(folder))
    context = connector.project(inputs["features"])
    ours = {"proj": context, "output": connector(inputs["features"])}
    queries = connector.resampler.queries.expand(len(context), -1, -1)
    for idx, layer in enumerate(connector.resampler.layers):
        ours[f"layer{idx}.attn_out"] = layer.attention(
            layer.query_norm(queries), layer.context_norm(context)
        )
        queries = ours[f"layer{idx}.out"] = layer(queries, context)
    return _compare(ours, expected)


def _internvideo2(folder: Path) -> Quantities:
    config = _json(folder / "config.json")
    weights, inputs, expected = _tensors(folder)
    whole, used = (_tower(config, weights, select_layer=layer) for layer in (-1, -2))
    clips, pictures = (inputs[name].transpose(1, 2) for name in ("video", "image"))
    patches = used.patches(inputs["video"]).flatten(2).transpose(1, 2)
    shape = used.config
    ours = {
        "patch_embed": patches,
        "hidden_idx-1": whole.hidden(clips),
        "hidden_idx-2": used.hidden(clips),
        "features_grid": used(clips),
        "image_features_grid": used(pictures),
        "sincos_pos_embed_init": _position_table(shape.width, shape.n_frames, shape.grid),
    }
    return _compare(ours, expected)


def _position_table(width: int, n_frames: int, grid: int) -> Tensor:
    """Compute the table that the tower's training starts from; the class token's row is zero.

    A quarter of the channels encodes the frame, the others the place: first column, then row.
    """
    n_time, n_side = width // 4, width // 8 * 3
    frame, row, col = torch.meshgrid(
        torch.arange(n_frames), torch.arange(grid), torch.arange(grid), indexing="ij"
    )
    waves = [
        _waves(frame.flatten(), n_time),
        _waves(col.flatten(), n_side),
        _waves(row.flatten(), n_side),
    ]
    return F.pad(torch.cat(waves, dim=1), (0, 0, 1, 0)).float()


def _waves(positions: Tensor, n_channels: int) -> Tensor:
    half = n_channels // 2
    rates = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = positions.double()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _tower(
    fields: Mapping[str, Any], weights: Mapping[str, Tensor], *, select_layer: int
) -> InternVideo2:
    config = InternVideo2Config.from_json(fields, select_layer=select_layer)
    tower = InternVideo2(config)
    unused = [(f"blocks.{block}.**", "") for block in range(config.depth, fields["depth"])]
    key_map = (*unused, *internvideo2.KEY_MAP)
    fill(tower, weights.items(), key_map, source="the case")
    return tower


def _vision_pipeline(folder: Path) -> Quantities:
    configs = _json(folder / "config.json")
    weights, inputs, expected = _tensors(folder)
    vision_config = read_vision(configs)
    vision = ApolloVision(vision_config).eval()
    key_map = (*unused_blocks(vision_config), *VISION_KEY_MAP)
    fill(
        vision, _by_part(weights, configs["vision_tower"]["vision_towers"]), key_map, source="case"
    )
    videos = sorted({name.split(".")[0] for name in inputs})
    clips = [inputs[f"{video}.siglip_pixels"] for video in videos]
    ours: dict[str, Tensor] = {}
    for video, still in zip(videos, clips, strict=True):
        moving = inputs[f"{video}.internvideo_pixels"].transpose(1, 2)
        grids = [vision.encode_stills(still, with_vectors=False)[0], vision.internvideo2(moving)]
        ours[f"{video}.siglip_grid"], ours[f"{video}.internvideo_grid"] = grids
        ours[f"{video}.tower"] = join(grids, vision_config.grid).flatten(1, 3)
    for video, tokens in zip(videos, _in_batches(vision, inputs, videos, configs), strict=True):
        ours[f"{video}.tokens"] = tokens.flatten(0, 1)
    return _compare(ours, expected)


def _in_batches(
    vision: ApolloVision,
    inputs: Mapping[str, Tensor],
    videos: Sequence[str],
    configs: Mapping[str, Any],
) -> Sequence[Tensor]:
    """Encode the clips of all videos together, in batches, and part them by video."""
    n_at_once = configs["config"]["encode_batch_size"]
    still = torch.cat([inputs[f"{video}.siglip_pixels"] for video in videos])
    moving = torch.cat([inputs[f"{video}.internvideo_pixels"] for video in videos])
    parts = [
        vision.clip_tokens(stills, clips.transpose(1, 2))
        for stills, clips in zip(still.split(n_at_once), moving.split(n_at_once), strict=True)
    ]
    return torch.cat(parts).split([len(inputs[f"{video}.siglip_pixels"]) for video in videos])


def _by_part(weights: Mapping[str, Tensor], towers: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield merged names as the folders of a checkpoint give them."""
    prefixes = {
        f"vision_tower.{towers[0]}.": "siglip.",
        f"vision_tower.{towers[1]}.": "internvideo2.",
    }
    for key, tensor in weights.items():
        prefix = next((name for name in prefixes if key.startswith(name)), None)
        yield key if prefix is None else prefixes[prefix] + key.removeprefix(prefix), tensor


def _embed_merge(folder: Path) -> Quantities:
    weights, inputs, expected = _tensors(folder)
    embed = nn.Embedding.from_pretrained(weights["embed_tokens.weight"])
    real = inputs["attention_mask"].bool()
    given = inputs["input_ids"]
    given[given == _json(folder / "config.json")["placeholder_id"]] = PLACEHOLDER_ID
    ids = [row[kept] for row, kept in zip(given, real, strict=True)]
    labels = [row[kept] for row, kept in zip(inputs["labels"], real, strict=True)]
    visual = [
        next(inputs[name] for name in inputs if re.fullmatch(rf"features{row}(_dummy)?", name))
        for row in range(len(ids))
    ]
    # A row without placeholders takes none of the features that upstream makes it carry.
    used = [
        features if bool((row == PLACEHOLDER_ID).any()) else features[:0]
        for row, features in zip(ids, visual, strict=True)
    ]
    quantities: dict[str, Quantity] = {}
    for name in sorted({key.split(".")[0] for key in expected} - {"generate"}):
        most = re.search(r"trunc(\d+)", name)
        batch = splice_batch(
            embed,
            list(zip(ids, used, strict=True)),
            labels,
            max_tokens=int(most[1]) if most else given.shape[1],
            pads_left="left" in name,
        )
        embeddings = difference(batch.embeddings, expected[f"{name}.inputs_embeds"])
        quantities[name] = Quantity(embeddings)
        quantities[f"{name}.labels"] = mismatches(batch.labels, expected[f"{name}.labels"])
        mask = expected[f"{name}.attention_mask"].bool()
        quantities[f"{name}.mask"] = mismatches(batch.is_real, mask)
    alone = splice(embed, given[0], used[0])
    expected_rows = expected["generate.inputs_embeds"][0]
    return quantities | {"generate": Quantity(difference(alone, expected_rows))}


def _host_side(folder: Path) -> Quantities:
    quantities = {"sampling": _equal(map(_is_sampled_alike, _json(folder / "sampling.json")))}
    if (folder / "prompts.json").is_file():
        quantities["prompts"] = _equal(map(_is_prompted_alike, _json(folder / "prompts.json")))
    below = folder / "preprocess"
    return quantities | (dict(_preprocess(below)) if below.is_dir() else {})


def _is_sampled_alike(case: Mapping[str, Any]) -> bool:
    given = case["input"]
    sampling = ClipSampling(
        clip_s=float(given["clip_duration"]),
        frames_per_clip=given["frames_per_clip"],
        tokens_per_clip=given["num_output_tokens"],
        max_positions=given["model_max_length"],
        budget=float(given["clip_sampling_ratio"]),
    )
    n_frames, fps = given["total_frames"], float(given["fps"])
    clips, duration_s = sampling.clips(n_frames, fps), n_frames / fps
    spans = [(clip[0] / fps, clip[-1] / fps) for clip in clips]
    words = introduce(spans, clip_s=sampling.clip_s, duration_s=duration_s)
    slot = f"{{V*{sampling.tokens_per_clip}}}"
    return (
        sampling.keep_share(duration_s) == case["effective_ratio"]
        and sampling.n_clips(n_frames, fps) == case["num_clips"]
        and clips == case["clip_indices"]
        and [list(span) for span in spans] == case["timestamps"]
        and "".join(piece + slot for piece in words) == case["replace_string_compact"]
    )


def _is_prompted_alike(case: Mapping[str, Any]) -> bool:
    prompt = TEMPLATE.system
    for role, text in case["turns"]:
        prompt += TEMPLATE.user if role == "user" else TEMPLATE.assistant
        prompt += "" if text is None else text + TEMPLATE.end
    ids = encode_with_placeholders(
        prompt, ("<|video_token|>", "<|image_token|>"), lambda text: list(map(ord, text))
    )
    return prompt == case["prompt"] and ids == case["char_tokenizer_ids"]


def _preprocess(folder: Path) -> Quantities:
    config, quantities = _json(folder / "config.json"), dict[str, Quantity]()
    inputs, expected = (load_file(folder / f"{n}.safetensors") for n in ("inputs", "outputs"))
    n_clip = config["frames_per_clip"]
    videos = {name: frames.permute(0, 3, 1, 2) for name, frames in inputs.items()}
    # The picture is the first frame of the first video, shown for a whole clip.
    first = videos[min(videos)][:1]
    for name, frames in (*videos.items(), ("image0", first.expand(n_clip, -1, -1, -1))):
        for tower, ours, spread in _prepared(frames, config):
            if f"{name}.padded_{tower}" in expected:
                padded = square(frames, MEANS[tower]).permute(0, 2, 3, 1)
                quantities[f"{name}.padded_{tower}"] = mismatches(
                    padded, expected[f"{name}.padded_{tower}"]
                )
            whole = ours[: len(ours) // n_clip * n_clip]
            clips = whole.reshape(-1, n_clip, *whole.shape[1:])
            clips = clips.transpose(1, 2) if tower == "internvideo" else clips
            error = difference(clips, expected[f"{name}.{tower}"])
            quantities[f"{name}.{tower}"] = Quantity(error, 1.01 * LEVEL / spread)
    return quantities


MEANS = {"siglip": HALF, "internvideo": internvideo2.IMAGENET_MEAN}


def _prepared(frames: Tensor, config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor, float]]:
    """Yield either tower's input, and the smallest spread that its levels are divided by."""
    still = PixelConfig(size_px=config["siglip_size"], fit="letterbox", mean=HALF, std=HALF)
    yield "siglip", preprocess.prepare(frames, still), min(HALF)
    moving = internvideo2.prepare(frames, config["internvideo_size"])
    yield "internvideo", moving, min(IMAGENET_STD)


def _equal(are_alike: Iterator[bool]) -> Quantity:
    """Count the cases of a list that differ, where none may."""
    return Quantity(float(sum(not alike for alike in are_alike)), 0.0)


def _compare(ours: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Quantities:
    """Compare every expected tensor; one that we do not compute is off."""
    return {
        name: Quantity(difference(ours[name], tensor) if name in ours else float("inf"))
        for name, tensor in expected.items()
    }


def _tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    weights, inputs, outputs = (
        load_file(folder / f"{name}.safetensors") for name in ("weights", "inputs", "outputs")
    )
    return weights, inputs, outputs


def _json(path: Path, default: Any = None) -> Any:
    if default is not None and not path.is_file():
        return default
    return json.loads(path.read_text(encoding="utf-8"))
