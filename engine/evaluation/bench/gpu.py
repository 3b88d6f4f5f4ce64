"""Ten minutes on a card: what it does, whether the dry run's assumptions hold, and how fast it is.

A Video-XL of the released 7B size with random weights, in bfloat16: kernels are timed, counts of
the dry run compared with those of the profiler, frames ingested with and without overlap, an
answer's steps and a recall of hours measured, bfloat16 held against float32 on the CPU. Without
an accelerator the same code rehearses on the tiny variant, so that it is known to run.

It needs torch, transformers and this engine: no checkpoint, no network, no video.
"""

import functools
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine import device as devices
from engine.evaluation.bench._card import (
    compare_families,
    measure_answers,
    measure_ingest,
    measure_storages,
    random_latents,
)
from engine.evaluation.bench._released import (
    ON_A_CARD,
    REHEARSAL,
    GpuPlan,
    random_model,
    random_net,
)
from engine.evaluation.device_ledger import DeviceLedger
from engine.models.layers.decode import DeviceSteps
from engine.models.layers.generate import first_step, steps_ahead
from engine.models.layers.picking import Picker
from engine.models.video_xl.model import VideoXl
from engine.models.video_xl.net import VideoXlNet, build
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix
from engine.protocols import Sampling
from engine.tensors import FrameBatch

ASSUMED: Final = {"gemm_efficiency": 0.62, "decode_operations": 400, "compress_operations": 700}
"""Assumptions and budgets of the dry run."""
_KERNELS: Final = (
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.MATH,
)


def measure(*, model: str | None = None, plan: GpuPlan | None = None) -> dict[str, Any]:
    """Measure the card, or rehearse on the CPU.

    Args:
        model: Not used: the sizes are fixed and the weights random.
        plan: Other sizes; by the machine when `None`.
    """
    device = devices.pick_device("auto")
    is_card = devices.is_real(device)
    plan = plan or (ON_A_CARD if is_card else REHEARSAL)
    dtype = torch.bfloat16 if is_card else torch.float32
    devices.prepare_device(device)
    document: dict[str, Any] = {"is_rehearsal": not is_card, **_versions(device)}
    with tempfile.TemporaryDirectory(prefix="longwatch-gpu-") as name:
        folder = Path(name)
        with torch.inference_mode():
            document["calibration"] = _calibrate(plan, device, dtype)
            document["families"] = compare_families(device, folder)
            video_xl = random_model(plan, device, dtype, folder)
            document["counts"] = _counts(video_xl, plan, profiled=is_card)
            document["decode"] = _decode(video_xl, plan)
            document["recall"] = _recall(video_xl, plan)
            document["storages"] = measure_storages(video_xl, plan)
            document["bf16_against_fp32"] = _compare(plan, device)
        # Outside of inference mode, as a server ingests.
        document["ingest"] = measure_ingest(video_xl, plan, folder)
        document["answer_beside_ingest"] = measure_answers(video_xl, plan, folder)
    return document


def _versions(device: torch.device) -> dict[str, Any]:
    packages = ("torch", "transformers", "flash-attn", "longwatch", "numpy")
    document: dict[str, Any] = {
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "cuda": torch.version.cuda,
    }
    if devices.is_real(device):
        free_bytes, total_bytes = torch.cuda.mem_get_info(device)
        document |= {
            "card": torch.cuda.get_device_name(device),
            "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "free_gib": round(free_bytes / 2**30, 1),
            "total_gib": round(total_bytes / 2**30, 1),
        }
    return document


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _calibrate(plan: GpuPlan, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Measure a large product, those of a layer, attention over a chunk, and copies up."""
    side = plan.gemm
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    host = torch.zeros(plan.copied_bytes, dtype=torch.uint8)
    pinned = host.pin_memory() if devices.is_real(device) else host
    gemm_s = _seconds(device, lambda: left @ right)
    return {
        "gemm_tflops": _three_digits(2 * side**3 / gemm_s / 1e12),
        "products_tflops": _products(plan, device, dtype),
        "attention_tflops": _attention(plan, device, dtype),
        "upload_pinned_gb_per_s": _gb_per_s(
            plan, _seconds(device, lambda: pinned.to(device, non_blocking=True, copy=True))
        ),
        "upload_pageable_gb_per_s": _gb_per_s(
            plan, _seconds(device, lambda: host.to(device, copy=True))
        ),
    }


def _products(plan: GpuPlan, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Measure the products of a decoder layer over a chunk, each alone."""
    config, rows = plan.config.decoder, _rows_a_chunk(plan)
    inner = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
    sizes = {
        "query, key, value": (config.width, inner),
        "out": (config.n_heads * config.head_dim, config.width),
        "gate or up": (config.width, config.mlp_width),
        "down": (config.mlp_width, config.width),
    }
    rates = {}
    for name, (n_in, n_out) in sizes.items():
        x = torch.randn(rows, n_in, device=device, dtype=dtype)
        weight = torch.randn(n_out, n_in, device=device, dtype=dtype)
        seconds = _seconds(device, functools.partial(F.linear, x, weight))
        rates[name] = _three_digits(2 * rows * n_in * n_out / seconds / 1e12)
    return rates


def _attention(plan: GpuPlan, device: torch.device, dtype: torch.dtype) -> dict[str, float | None]:
    """Measure the kernels of attention over a chunk; `None` where one does not run."""
    config, rows = plan.config.decoder, _rows_a_chunk(plan)
    q, k, v = (
        torch.randn(1, config.n_heads, rows, config.head_dim, device=device, dtype=dtype)
        for _ in range(3)
    )
    flop = 2 * config.n_heads * rows**2 * config.head_dim
    rates: dict[str, float | None] = {}
    for kernel in _KERNELS:
        name = kernel.name.removesuffix("_ATTENTION").lower()
        try:
            with sdpa_kernel([kernel]):
                work = functools.partial(F.scaled_dot_product_attention, q, k, v, is_causal=True)
                rates[name] = _three_digits(flop / _seconds(device, work) / 1e12)
        except RuntimeError:
            rates[name] = None
    return rates


def _rows_a_chunk(plan: GpuPlan) -> int:
    return plan.config.chunk_tokens + plan.config.chunk_tokens // plan.ratio


def _gb_per_s(plan: GpuPlan, seconds: float) -> float:
    return _three_digits(plan.copied_bytes / seconds / 1e9)


def _three_digits(rate: float) -> float:
    return float(f"{rate:.3g}")


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Return the seconds of one run, the median of a few after a first one."""
    if devices.is_real(device):
        return devices.time_on_device(work)
    work()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return max(sorted(times)[1], 1e-9)


def _frames(model: VideoXl, plan: GpuPlan) -> FrameBatch:
    n_frames, (height, width) = model.card.chunk_frames, plan.frame_px
    random = torch.Generator().manual_seed(0)
    return FrameBatch(
        pixels=torch.randint(
            0, 256, (n_frames, 3, height, width), dtype=torch.uint8, generator=random
        ),
        pts_s=torch.arange(n_frames, dtype=torch.float64),
    )


def _counts(model: VideoXl, plan: GpuPlan, *, profiled: bool) -> dict[str, Any]:
    """Count what a chunk and a step ask for, by the dry run's ledger and by the profiler."""
    stream = model.open_stream(compression_ratio=plan.ratio)
    frames = model.fit(_frames(model, plan))
    tokens = model.encode(frames)
    model.compress(tokens, stream)
    steps = _steps(model, plan, n_latents=0)
    next(steps)
    works: dict[str, Callable[[], object]] = {
        "encode": lambda: model.encode(frames),
        "compress": lambda: model.compress(tokens, stream),
        "step": lambda: next(steps),
    }
    document: dict[str, Any] = {"assumed": ASSUMED}
    for name, work in works.items():
        with DeviceLedger() as ledger:
            work()
        document[name] = {
            "operations": ledger.counts.n_operations,
            "round_trips": ledger.counts.n_round_trips,
        }
        if profiled:
            document[name] |= _profile(work)
    for name in ("encode", "compress"):
        document[name]["ms"] = round(_seconds(model.device, works[name]) * 1000, 2)
    return document


def _profile(work: Callable[[], object]) -> dict[str, Any]:
    """Count the kernels that really ran, and name the longest, with their milliseconds."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
    kernels = [event for event in profiler.key_averages() if event.device_time_total]
    kernels.sort(key=lambda event: -event.device_time_total)
    return {
        "kernels": sum(event.count for event in kernels),
        "kernel_ms": round(sum(event.device_time_total for event in kernels) / 1000, 2),
        "longest_kernels": {
            event.key[:80]: round(event.device_time_total / 1000, 3) for event in kernels[:12]
        },
    }


def _steps(
    model: VideoXl, plan: GpuPlan, *, n_latents: int, n_steps: int | None = None
) -> Iterator[object]:
    """Yield the steps of an answer behind so many latents, as they stay on the device."""
    decoder = model.net.decoder
    sink = prefill_prefix(decoder, _rows(model, 14))
    latents = [random_latents(model, n_latents)] if n_latents else []
    n_steps = n_steps or plan.n_steps
    prompt = _rows(model, 25)
    cache = open_cache(decoder, sink, latents, n_more=len(prompt) + n_steps)
    chunks = [range(14, 14 + n_latents)]
    logits, mass = first_step(decoder, cache.buffer, prompt, chunks)
    picker = Picker(Sampling(), logits)
    steps = DeviceSteps(decoder, cache.buffer, picker, max_tokens=n_steps, chunks=chunks)
    return steps_ahead(steps, logits, mass, n_steps)


def _rows(model: VideoXl, n_tokens: int) -> Tensor:
    ids = torch.arange(n_tokens, device=model.device) % 250
    rows: Tensor = model.net.decoder.embed(ids)
    return rows


def _decode(model: VideoXl, plan: GpuPlan) -> dict[str, Any]:
    """Time the steps of an answer: the first, those launched one by one, those recorded."""
    document: dict[str, Any] = {}
    for n_latents in (2 * model.card.latents_at(plan.ratio), plan.recalled):
        started = time.perf_counter()
        steps, times = _steps(model, plan, n_latents=n_latents), []
        for _ in steps:
            times.append(time.perf_counter())
        gaps = [after - before for before, after in pairwise(times)]
        document[f"behind_{n_latents}_latents"] = {
            "first_token_ms": round((times[0] - started) * 1000, 2),
            "early_ms_a_token": round(gaps[0] * 1000, 3),
            "late_ms_a_token": round(sorted(gaps)[len(gaps) // 2] * 1000, 3),
        }
    return document


def _recall(model: VideoXl, plan: GpuPlan) -> dict[str, Any]:
    """Place hours of latents for a question: seconds, and the most that it holds."""
    n_chunk = model.card.latents_at(plan.ratio)
    chunks = [random_latents(model, n_chunk)] * max(1, plan.recalled // n_chunk)
    decoder = model.net.decoder
    sink = prefill_prefix(decoder, _rows(model, 14))
    n_bytes = sum(chunk.nbytes for chunk in chunks)
    document: dict[str, Any] = {"chunks": len(chunks), "latent_bytes": n_bytes}
    if devices.is_real(model.device):
        torch.cuda.reset_peak_memory_stats(model.device)
        before = torch.cuda.memory_allocated(model.device)
        open_cache(decoder, sink, chunks)
        peak = torch.cuda.max_memory_allocated(model.device) - before
        document["peak_over_latents"] = round(peak / n_bytes, 2)
    seconds = _seconds(model.device, lambda: open_cache(decoder, sink, chunks))
    return {**document, "ms": round(seconds * 1000, 2)}


def _compare(plan: GpuPlan, device: torch.device) -> dict[str, Any]:
    """Compare a chunk's latents and the logits behind them with those of float32 on the CPU."""
    decoder = replace(plan.config.decoder, n_layers=plan.compared_layers)
    # Rows of the vocabulary take as long to draw as ten layers, and say nothing.
    decoder = replace(decoder, vocab_size=min(decoder.vocab_size, 4096))
    config = replace(plan.config, decoder=decoder, vision=None)
    exact = random_net(config, devices.CPU, torch.float32)
    near = build(config, device, torch.bfloat16)
    near.load_state_dict(exact.state_dict())
    random = torch.Generator().manual_seed(1)
    tokens = torch.randn(config.chunk_tokens, decoder.width, generator=random) * 0.1
    logits = [_logits(net, tokens, plan.ratio) for net in (exact, near)]
    difference = float((logits[0] - logits[1]).abs().max())
    return {
        "layers": plan.compared_layers,
        "largest_logit_difference": float(f"{difference / float(logits[0].std()):.2g}"),
        "same_choice": bool(logits[0].argmax() == logits[1].argmax()),
    }


def _logits(net: VideoXlNet, tokens: Tensor, ratio: int) -> Tensor:
    decoder = net.decoder
    weight = decoder.embed.weight
    ids = torch.arange(14, device=weight.device)
    cache = open_cache(decoder, prefill_prefix(decoder, decoder.embed(ids)))
    plan = interleave(tokens.shape[0], ratio)
    cache.append((compress_chunk(tokens.to(weight), cache, plan),))
    hidden = decoder.extend(decoder.embed(ids)[None], cache.buffer)
    return decoder.logits(hidden[0, -1]).float().cpu()
