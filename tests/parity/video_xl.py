"""Video-XL: VectorSpaceLab/Video-XL at 6e3dc89, transformers 4.41.2, float32, eager attention.

Tolerance 1e-4 absolute; upstream's own attention back-ends differ by up to 5e-6. Token ids and
positions of summary tokens must be equal. Weights go through the loader of real checkpoints.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from engine.models.layers.decoder import KvBuffer, KvTrace
from engine.models.layers.preprocess import prepare
from engine.models.layers.weights import slots, translate
from engine.models.video_xl.net import KEY_MAP, Projector, VideoXlNet, load_net
from engine.models.video_xl.parallel_forward import SequenceSpec, build_layout, parallel_forward
from engine.models.video_xl.vst import (
    VstCache,
    compress_chunk,
    interleave,
    open_cache,
    prefill_prefix,
)
from tests.parity._case import Quantity, difference, mismatches
from tests.support.paper_sampling import video_xl_ratios
from tests.support.random_video_xl import fork

CPU = torch.device("cpu")


def recognises(folder: Path) -> bool:
    """Tell whether a folder is a checkpoint with `beacon_window` and expected tensors."""
    if not all((folder / name).is_file() for name in ("config.json", "case.json")):
        return False
    return "beacon_window" in json.loads((folder / "config.json").read_text(encoding="utf-8"))


def run(folder: Path) -> Mapping[str, Quantity]:
    """Compare every expected tensor of a case with ours."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    expected = load_file(folder / "tensors.safetensors")
    net = load_net(folder, CPU, torch.float32)
    if "loss" in expected:
        return _train(net, case, expected)
    with torch.inference_mode():
        quantities: dict[str, Quantity] = {}
        tokens = expected.get("image_features")
        if "frames_u8" in expected:
            tokens = _vision(net, case, expected, quantities)
        assert tokens is not None
        _Video(net, case, expected, tokens, quantities).run()
    return quantities


class _Video:
    """Prefix, chunks, questions; collects the largest error of each kind."""

    def __init__(
        self,
        net: VideoXlNet,
        case: Mapping[str, Any],
        expected: Mapping[str, Tensor],
        tokens: Tensor,
        quantities: dict[str, Quantity],
    ) -> None:
        self.net, self.decoder, self.case, self.expected = net, net.decoder, case, expected
        self.tokens, self.chunk_tokens, self.quantities = (
            tokens,
            net.config.chunk_tokens,
            quantities,
        )

    def run(self) -> None:
        """Fill `quantities`."""
        written = KvTrace([], [])
        prefix = self.decoder.embed(self.expected["prefix_ids"])
        sink = self.decoder.buffer(prefix.shape[0])
        self.decoder.extend(prefix[None], sink, kv_trace=written)
        self._compare("sink", _stacked(written), ("sink_k", "sink_v"))
        memory = open_cache(self.decoder, prefill_prefix(self.decoder, prefix))
        last_visual = self._chunks(memory)
        for suffix in ("", "_b"):
            if f"question_ids{suffix}" in self.expected:
                self._ask(fork(memory, 0), suffix, last_visual)

    def _chunks(self, memory: VstCache) -> Tensor:
        leftover, chunks = 0, list[tuple[Tensor, Tensor]]()
        last_visual = torch.empty(0)
        for i, ratio in enumerate(_ratios(self.case, self.net, self.tokens.shape[0])):
            rows = self.tokens[i * self.chunk_tokens : (i + 1) * self.chunk_tokens]
            plan = interleave(rows.shape[0], ratio, leftover=leftover)
            leftover = plan.leftover
            is_vst = torch.zeros(plan.n, dtype=torch.uint8)
            is_vst[plan.vst] = 1
            self._worst("is_vst", mismatches(is_vst, self.expected[f"win{i}_is_vst"]))
            trace: list[Tensor] = []
            traced, latents = (
                compress_chunk(rows, memory, plan, trace=trace),
                compress_chunk(rows, memory, plan),
            )
            self._worst("skip", Quantity(difference(traced.values, latents.values)))
            chunks.append((latents.keys, latents.values))
            names = (f"win{i}_vst_k", f"win{i}_vst_v")
            both = torch.cat([k for k, _ in chunks], 2), torch.cat([v for _, v in chunks], 2)
            self._compare("vst", both, names)
            self._compare("hidden", (trace[-1],), (f"win{i}_hidden",))
            self._compare("layers", (torch.stack(trace),), (f"win{i}_layers",))
            last_visual = trace[-1][plan.raw[-1]]
            memory.append((latents,))
        return last_visual

    def _ask(self, memory: KvBuffer, suffix: str, last_visual: Tensor) -> None:
        written, expected = KvTrace([], []), self.expected
        question = self.decoder.embed(expected[f"question_ids{suffix}"])
        pieces, hidden = [], last_visual[None]
        for part in question.split(self.chunk_tokens):
            if part.shape[0]:
                hidden = self.decoder.extend(part[None], memory, kv_trace=written)[0]
                pieces.append(self.decoder.logits(hidden))
        if pieces:
            self._compare("logits", (torch.cat(pieces),), (f"question_logits{suffix}",))
        rows, ids = [], []
        for _ in range(expected[f"decode_ids{suffix}"].shape[0]):
            rows.append(self.decoder.logits(hidden[-1]))
            ids.append(int(rows[-1].argmax()))
            if len(ids) < expected[f"decode_ids{suffix}"].shape[0]:
                step = self.decoder.embed(torch.tensor([[ids[-1]]]))
                hidden = self.decoder.extend(step, memory, kv_trace=written)[0]
        self._compare("decode", (torch.stack(rows),), (f"decode_logits{suffix}",))
        self._worst("ids", mismatches(torch.tensor(ids), expected[f"decode_ids{suffix}"]))
        names = (f"text_k{suffix}", f"text_v{suffix}")
        if names[0] in expected:
            self._compare("text", _stacked(written, self.decoder.config.n_layers), names)

    def _compare(self, key: str, ours: tuple[Tensor, ...], names: tuple[str, ...]) -> None:
        for tensor, name in zip(ours, names, strict=True):
            if name in self.expected:
                self._worst(key, Quantity(difference(tensor, self.expected[name])))

    def _worst(self, key: str, quantity: Quantity) -> None:
        # Written so that a first value that is not a number stays.
        worst = self.quantities.get(key)
        if worst is None or not quantity.error <= worst.error:
            self.quantities[key] = quantity


def _ratios(case: Mapping[str, Any], net: VideoXlNet, n_visual: int) -> Sequence[int]:
    """Return the stated ratio of every chunk, or upstream's draw."""
    if "ratio_schedule" in case:
        stated: list[int] = case["ratio_schedule"]
        return stated
    size, allowed = net.config.chunk_tokens, net.config.compression_ratios
    chunks = [min(size, n_visual - start) for start in range(0, n_visual, size)]
    return allowed * len(chunks) if len(allowed) == 1 else video_xl_ratios(allowed, chunks, seed=42)


def _stacked(written: KvTrace, n_layers: int | None = None) -> tuple[Tensor, Tensor]:
    """Stack keys and values of one or several steps: layer kv_head token head_dim."""
    step = n_layers or len(written.keys)
    keys, values = (
        torch.cat([torch.cat(part[i : i + step]) for i in range(0, len(part), step)], 2)
        for part in (written.keys, written.values)
    )
    return keys, values


def _vision(
    net: VideoXlNet,
    case: Mapping[str, Any],
    expected: Mapping[str, Tensor],
    quantities: dict[str, Quantity],
) -> Tensor:
    """Encode frames to visual tokens; the steps on the way are checked beside them."""
    vision, tower, projector = net.config.vision, net.tower, net.projector
    assert vision is not None
    assert tower is not None
    assert projector is not None
    frames = expected["frames_u8"].permute(0, 3, 1, 2).contiguous()
    pixels = prepare(frames, vision.pixels)
    features, _ = tower.run(pixels, vision.select_layer, with_vectors=False)
    projected = projector.outer(F.gelu(projector.inner(features)))
    tokens = net.visual_tokens(pixels)[0]
    pooled = Projector(tower.width, net.config.decoder.width, vision)
    pooled.load_state_dict(projector.state_dict())
    pooled.mode = "max"
    ours = {
        "pixel_values": pixels,
        "clip_selected": features,
        "projected": projected,
        "visual_tokens": tokens.flatten(0, 1),
        "visual_tokens_maxpool": pooled(features).flatten(0, 1),
    }
    if "other_layer" in case:
        other, _ = tower.run(pixels, case["other_layer"], with_vectors=False)
        ours["visual_tokens_other_layer"] = projector(other).flatten(0, 1)
    for name, tensor in ours.items():
        if name in expected:
            quantities[name] = Quantity(difference(tensor, expected[name]))
    return ours["visual_tokens"]


def _train(
    net: VideoXlNet, case: Mapping[str, Any], expected: Mapping[str, Tensor]
) -> Mapping[str, Quantity]:
    """Compare the loss, and its gradients by released name."""
    tokens = expected["image_features"].clone().requires_grad_()
    size, decoder = net.config.chunk_tokens, net.decoder
    parts = [part.shape[0] for part in tokens.split(size)]
    spec = SequenceSpec(
        n_prefix=expected["prefix_ids"].shape[0],
        chunks=tuple(zip(parts, _ratios(case, net, tokens.shape[0]), strict=True)),
        texts=(expected["question_ids"].shape[0],),
    )
    prefix, question = (decoder.embed(expected[f"{name}_ids"]) for name in ("prefix", "question"))
    hidden = parallel_forward(
        decoder, torch.cat((prefix, tokens, question))[None], build_layout(spec)
    )
    labels = expected["labels_expanded"][1:]
    loss = F.cross_entropy(decoder.logits(hidden[0, :-1]), labels, ignore_index=-100)
    loss.backward()  # type: ignore[no-untyped-call]
    n_valid = (labels != -100).sum().reshape(1)
    assert tokens.grad is not None
    quantities = {
        "loss": Quantity(difference(loss.reshape(1), expected["loss"])),
        "valid_tokens": mismatches(n_valid, expected["valid_tokens"]),
        "grad_image_features": Quantity(difference(tokens.grad, expected["grad_image_features"])),
    }
    by_name, worst = slots(net), 0.0
    for key, tensor in expected.items():
        if key.startswith("grad."):
            worst = max(worst, difference(_gradient(by_name, key[5:]), tensor))
    for key, norm in case.get("grad_norms", {}).items():
        worst = max(worst, abs(float(_gradient(by_name, key).norm()) - norm))
    return quantities | {"gradients": Quantity(worst)}


def _gradient(by_name: Mapping[str, Any], released: str) -> Tensor:
    slot = by_name[str(translate(released, KEY_MAP))]
    gradient = slot.parameter.grad
    return torch.zeros(slot.shape) if gradient is None else gradient[slot.rows]
