"""PLLaVA: magic-research/PLLaVA at 6f49fd2, transformers 4.44.2, float32, eager attention.

Tolerance 1e-4 absolute everywhere, pixels included: both sides resize with Pillow. Ids, indices,
sizes and prompts must be equal. Weights go through the loader of real checkpoints. Rows behind
padding carry nothing in upstream's batches and are not compared.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.models.layers import lora
from engine.models.layers.preprocess import PixelConfig, prepare, resize
from engine.models.layers.splice import PLACEHOLDER_ID, splice, splice_batch
from engine.models.layers.weights import fill, read_file
from engine.models.pllava.model import first_resize
from engine.models.pllava.net import KEY_MAP, PllavaNet, Projector, load_net, pool_clip
from engine.models.pllava.prompts import TEMPLATES
from tests.parity._case import (
    Quantity,
    checkpoint,
    config_of,
    difference,
    drawn_frames,
    mismatches,
)
from tests.support.paper_sampling import pllava_demo_frames, pllava_fill_clip, pllava_frames

CPU = torch.device("cpu")


def recognises(folder: Path) -> bool:
    """Tell by the fields of the case's config, or the names of its prompts."""
    return _kind(folder) is not None


@torch.inference_mode()
def run(folder: Path) -> Mapping[str, Quantity]:
    """Compare every expected number of a case with ours."""
    runs = {
        "full": _full,
        "lora": _lora,
        "pooling": _pooling,
        "preprocess": _preprocess,
        "prompts": _prompts,
    }
    return runs[_kind(folder) or ""](folder)


def _kind(folder: Path) -> str | None:
    if (folder / "prompts.json").is_file():
        return "prompts" if "plain" in _read(folder / "prompts.json") else None
    config = config_of(folder)
    if "pooling_shape" in config and "text_config" in config:
        return "full"
    fields = {"pooling_shapes": "pooling", "dims_hw": "preprocess", "rank": "lora"}
    return next((kind for field, kind in fields.items() if field in config), None)


def _full(folder: Path) -> Mapping[str, Quantity]:
    """Run the whole model at every alpha; numbers of an unstated one count at the best fit."""
    expected = load_file(folder / "tensors.safetensors")
    image_id = config_of(folder)["image_token_index"]
    quantities, rest = dict[str, Quantity](), list[dict[str, Quantity]]()
    with checkpoint(folder) as home:
        for name in sorted(key for key in expected if key.startswith("logits_alpha_")):
            net = load_net(home, CPU, torch.float32, alpha=float(name.rpartition("_")[2]))
            case = _Case(net, expected, image_id)
            quantities[name] = Quantity(difference(case.logits(), expected[name]))
            rest.append(case.rest())
    # The case does not say which alpha made the rest.
    return quantities | min(
        rest, key=lambda parts: sum(quantity.error for quantity in parts.values())
    )


class _Case:
    """One net and the tensors that it should reproduce."""

    def __init__(self, net: PllavaNet, expected: Mapping[str, Tensor], image_id: int) -> None:
        self.net, self.expected, self.image_id = net, expected, image_id

    def logits(self) -> Tensor:
        """Compute the logits of the single clip, with a batch axis."""
        return self._run(self._merged())[None]

    def rest(self) -> dict[str, Quantity]:
        """Compare features, tokens, the merged sequence, greedy ids and both batches."""
        net, expected, merged = self.net, self.expected, self._merged()
        features, _ = net.tower.run(
            expected["pixel_values"], net.config.select_layer, with_vectors=False
        )
        n = merged.shape[0]
        quantities = {
            "vision_features": Quantity(difference(features, expected["vision_features"])),
            "video_tokens": Quantity(
                difference(self._tokens("pixel_values"), expected["video_tokens"])
            ),
            "merged": Quantity(difference(merged[None], expected["merged_embeds"])),
            "mask": mismatches(torch.ones(1, n).long(), expected["merged_attention_mask"]),
            "positions": mismatches(torch.arange(n)[None], expected["merged_position_ids"]),
            "greedy": mismatches(self._greedy(merged)[None], expected["greedy_ids"]),
        }
        for side in ("left", "right"):
            if f"batch_{side}_input_ids" in expected:
                quantities |= self._batch(side)
        return quantities

    def _tokens(self, name: str) -> Tensor:
        """Compute video tokens of every clip, through the path of a stream."""
        net, clips = self.net, []
        for pixels in self.expected[name].split(net.config.chunk_frames):
            tokens, _ = net.visual_tokens(pixels)
            clips.append(net.pool(tokens, net.compression_ratio))
        return torch.stack(clips)

    def _merged(self) -> Tensor:
        ids, tokens = self.expected["input_ids"][0], self._tokens("pixel_values")
        return splice(
            self.net.decoder.embed, self._opened(ids, ids, tokens.shape[1])[0], tokens.flatten(0, 1)
        )

    def _opened(self, ids: Tensor, values: Tensor, n_tokens: int) -> tuple[Tensor, Tensor]:
        """Make room in ids for the tokens of every clip, and stretch values alike."""
        repeats = torch.where(ids == self.image_id, n_tokens, 1)
        open_ids = ids.masked_fill(ids == self.image_id, PLACEHOLDER_ID)
        return open_ids.repeat_interleave(repeats), values.repeat_interleave(repeats)

    def _run(self, rows: Tensor) -> Tensor:
        decoder = self.net.decoder
        return decoder.logits(decoder.extend(rows[None], decoder.buffer(rows.shape[0])))[0]

    def _greedy(self, rows: Tensor) -> Tensor:
        decoder, ids = self.net.decoder, list[int]()
        memory = decoder.buffer(rows.shape[0])
        hidden = decoder.extend(rows[None], memory)
        for _ in range(self.expected["greedy_ids"].shape[1]):
            ids.append(int(decoder.logits(hidden[0, -1]).argmax()))
            hidden = decoder.extend(decoder.embed(torch.tensor([ids[-1:]])), memory)
        return torch.tensor(ids)

    def _batch(self, side: str) -> dict[str, Quantity]:
        batch_in = {
            key.removeprefix(f"batch_{side}_"): tensor
            for key, tensor in self.expected.items()
            if key.startswith(f"batch_{side}_")
        }
        clips = self._tokens("batch_pixel_values")
        samples, labels = [], []
        for row, clip in enumerate(clips):
            is_real = batch_in["attention_mask"][row].bool()
            ids, targets = batch_in["input_ids"][row][is_real], batch_in["labels"][row][is_real]
            opened, stretched = self._opened(ids, targets, clip.shape[0])
            samples.append((opened, clip))
            labels.append(stretched)
        batch = splice_batch(
            self.net.decoder.embed,
            samples,
            labels,
            max_tokens=10**9,
            pads_left=side == "left",
        )
        mask, ours = batch.is_real.long(), torch.zeros_like(batch_in["logits"])
        for row, is_real in enumerate(batch.is_real):
            ours[row, is_real] = self._run(batch.embeddings[row, is_real])
        positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
        is_pad = ~batch.is_real[..., None]
        real_logits = batch_in["logits"].masked_fill(is_pad, 0)
        # Upstream's loss also asks the padding before a sample for its first token; nothing of
        # ours stands there, so those rows are the case's own.
        scored = torch.where(is_pad, batch_in["logits"], ours)
        return {
            f"{side}_mask": mismatches(mask, batch_in["merged_attention_mask"]),
            f"{side}_labels": mismatches(batch.labels, batch_in["merged_labels"]),
            f"{side}_positions": mismatches(positions, batch_in["merged_position_ids"]),
            f"{side}_logits": Quantity(difference(ours, real_logits)),
            f"{side}_loss": Quantity(
                difference(_loss(scored, batch.labels, mask), batch_in["loss"])
            ),
        }


def _loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Compute the next-token loss over rows whose next one is real, as a vector of one."""
    follows = mask[:, 1:].bool()
    return F.cross_entropy(logits[:, :-1][follows], labels[:, 1:][follows]).reshape(1)


def _lora(folder: Path) -> Mapping[str, Quantity]:
    expected = load_file(folder / "tensors.safetensors")
    path, quantities = folder / "weights.safetensors", dict[str, Quantity]()
    adapted = lora.adapters(read_file(path), source=str(folder))
    for name in sorted(key for key in expected if key.startswith("merged_weight_alpha_")):
        alpha = name.rpartition("_")[2]
        fused = dict(lora.fuse(read_file(path), adapted, float(alpha), source=str(folder)))
        weight = next(tensor for key, tensor in fused.items() if key.endswith("weight"))
        bias = next((tensor for key, tensor in fused.items() if key.endswith("bias")), None)
        quantities[f"weight_{alpha}"] = Quantity(difference(weight, expected[name]))
        output = F.linear(expected["x"], weight, bias)
        quantities[f"y_{alpha}"] = Quantity(difference(output, expected[f"y_alpha_{alpha}"]))
        if float(alpha) == 0:
            quantities["y_base"] = Quantity(difference(output, expected["y_base"]))
    return quantities


def _pooling(folder: Path) -> Mapping[str, Quantity]:
    config, expected = config_of(folder), load_file(folder / "tensors.safetensors")
    projector = Projector(config["vision_hidden"], config["text_hidden"])
    tensors = read_file(folder / "weights.safetensors")
    named = ((f"multi_modal_projector.{key}", tensor) for key, tensor in tensors)
    fill(nn.ModuleDict({"projector": projector}), named, KEY_MAP, source=str(folder))
    rows, cols = config["frame_shape"]
    n_frames, first = config["num_frames"], tuple(config["pooling_shapes"][0])

    def pooled(features: Tensor, frames: int, target: tuple[int, int, int]) -> Tensor:
        clips = projector(features).split(frames)
        return torch.stack([pool_clip(clip, (rows, cols), target) for clip in clips])

    features, two = expected["features"], expected["features_two_videos"]
    ours = {
        "projected_before_pooling": projector(features),
        "tokens_two_videos": pooled(two, n_frames, first),
        "tokens_temporal_pool_2nf_to_nf": pooled(two, two.shape[0], first),
        "tokens_image_media_type": pooled(
            pllava_fill_clip(expected["features_image"], n_frames), n_frames, first
        ),
    }
    for name in expected:
        if sizes := re.fullmatch(r"tokens_(\d+)x(\d+)x(\d+)", name):
            frames, height, width = (int(size) for size in sizes.groups())
            ours[name] = pooled(features, n_frames, (frames, height, width))
        elif filled := re.fullmatch(r"tokens_short_clip_(\d+)_frames", name):
            n_wanted = int(filled[1])
            clip = pllava_fill_clip(expected["features_short_clip"], n_wanted)
            ours[name] = pooled(clip, n_wanted, (n_wanted, first[1], first[2]))
    return {name: Quantity(difference(tensor, expected[name])) for name, tensor in ours.items()}


def _preprocess(folder: Path) -> Mapping[str, Quantity]:
    config, quantities = config_of(folder), dict[str, Quantity]()
    side = config["clip_size"]
    for name, pixels in load_file(folder / "tensors.safetensors").items():
        height, width = (int(size) for size in name.rpartition("_")[2].split("x"))
        frames = drawn_frames(pixels.shape[0], height, width)
        sized = resize(frames, *first_resize(height, width, side))
        ready = prepare(sized, PixelConfig(size_px=side))
        quantities[name] = Quantity(difference(ready, pixels))
    sizes = _read(folder / "first_resize.json")
    quantities["first_resize"] = _equal(
        [first_resize(*hw, case["clip_resolution"]) for case in sizes for hw in case["input_hw"]],
        [tuple(hw) for case in sizes for hw in case["after_first_resize_hw"]],
    )
    indices = _read(folder / "frame_indices.json")
    quantities["frames"] = _equal(
        [
            pllava_frames(
                case["max_frame"],
                float(case["fps"]),
                case["num_segments"],
                bound_s=_seconds(case["bound"]),
                first=case["first_idx"],
            )
            for case in indices["eval"]
        ],
        [case["indices"] for case in indices["eval"]],
    )
    quantities["demo_frames"] = _equal(
        [pllava_demo_frames(case["num_frames"], case["num_segments"]) for case in indices["demo"]],
        [case["indices"] for case in indices["demo"]],
    )
    return quantities


def _prompts(folder: Path) -> Mapping[str, Quantity]:
    """Compare every string; the question is read from the template that adds least to it."""
    expected = _read(folder / "prompts.json")
    plain = TEMPLATES["plain"].render("\0").split("\0")
    question = expected["plain"]["after_query"].removeprefix(plain[0]).removesuffix(plain[1])
    quantities = dict[str, Quantity]()
    for name, texts in expected.items():
        if isinstance(texts, dict):
            template = TEMPLATES[name]
            ours = {
                "after_query": template.render(question),
                "with_answer_prompt": template.render(question) + template.answer_prefix,
                "answer_prompt": template.answer_prefix,
            }
            quantities[name] = _equal([ours[key] for key in texts], list(texts.values()))
        elif name.startswith("demo_flow_plain_system_"):
            system = name.removeprefix("demo_flow_plain_system_")
            quantities["demo_flow"] = _equal(
                [TEMPLATES["demo"].render(question, system=system)], [texts]
            )
        elif name == "demo_system":
            quantities[name] = _equal([TEMPLATES["demo"].system], [texts])
        elif name == "mvbench_full_example":
            template, (mc_question, options) = TEMPLATES["eval_mvbench"], _choices(texts)
            ours_text = (
                template.render(_multiple_choice(mc_question, options)) + template.answer_prefix
            )
            quantities[name] = _equal([ours_text], [texts])
    return quantities


def _multiple_choice(question: str, options: Sequence[str]) -> str:
    """Write the MVBench query: lettered options, and the request for the best one."""
    lettered = "\n".join(f"({chr(ord('A') + idx)}) {text}" for idx, text in enumerate(options))
    return f"Question: {question}\nOptions:\n{lettered} \nOnly give the best option."


def _choices(prompt: str) -> tuple[str, list[str]]:
    """Read question and options back from a multiple-choice prompt."""
    match = re.search(r"Question: (.*?)\nOptions:\n(.*?) \nOnly give", prompt, re.DOTALL)
    assert match is not None
    return match[1], [option[4:] for option in match[2].split("\n")]


def _equal(ours: list[object], expected: list[object]) -> Quantity:
    pairs = zip(ours, expected, strict=True)
    return Quantity(float(sum(mine != theirs for mine, theirs in pairs)), 0.0)


def _read(path: Path):  # type: ignore[no-untyped-def]
    return json.loads(path.read_text(encoding="utf-8"))


def _seconds(bound: Any) -> tuple[float, float] | None:
    return None if bound is None else (float(bound[0]), float(bound[1]))
