"""Folding of video into summary tokens: the engine beside the straightforward way.

Both run the same random weights, frames' tokens and question. The straightforward way
(`engine/evaluation/reference_video_xl.py`) is written after the public code: caches joined and
keys rotated again at every step, heads repeated, a dense mask, every row of every layer and the
head over all of them. Sizes are those of a small decoder with the released geometry: 144 tokens
a frame, ten frames a chunk, ratio 8. The engine also runs in bfloat16, which large models take on
CPUs that multiply it; the straightforward way runs in float32, as it does wherever nobody chose.
"""

import time
from typing import Any, Literal

import psutil
import torch

from engine.evaluation.bench._process import in_fresh_process, peak_rss_bytes
from engine.evaluation.reference_video_xl import ReferenceVideoXl
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.precision import multiplies_bf16
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build, copy_base_to_vst
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix

Way = Literal["ours", "ours_bf16", "fused", "eager"]
PREFIX, QUESTION = list(range(14)), list(range(20, 40))
CHUNK_TOKENS, RATIO = 1440, 8
SIZES = DecoderConfig(
    vocab_size=8192,
    width=512,
    mlp_width=1408,
    n_layers=8,
    n_heads=8,
    n_kv_heads=2,
    head_dim=64,
    rope_theta=1e6,
    qkv_bias=True,
    has_vst=True,
)


def measure(*, model: str | None = None, frames: int = 60, threads: int = 1) -> dict[str, Any]:
    """Return seconds, peak memory above the weights, and the largest difference of the logits.

    Args:
        model: Not used: the sizes are fixed, so that figures compare across checkpoints.
        frames: Of 144 tokens each.
        threads: Of torch, in every process.
    """
    ways: tuple[Way, ...] = ("ours", "ours_bf16", "fused", "eager")
    runs = {way: in_fresh_process(_run, way, frames, threads) for way in ways}
    document: dict[str, Any] = {
        "frames": frames,
        "layers": SIZES.n_layers,
        "threads": threads,
        "compression_ratio": RATIO,
        "multiplies_bf16": multiplies_bf16(),
    }
    for way, run in runs.items():
        document[f"{way}_cpu_s"] = round(run["cpu_s"], 2)
        document[f"{way}_peak_mib"] = round(run["peak_bytes"] / 2**20)
    for suffix, ours in (("", runs["ours"]), ("_bf16", runs["ours_bf16"])):
        for way in ways[2:]:
            theirs = runs[way]
            difference = (torch.tensor(theirs["logits"]) - torch.tensor(ours["logits"])).abs().max()
            document |= {
                f"times_faster_than_{way}{suffix}": round(theirs["cpu_s"] / ours["cpu_s"], 2),
                f"memory_of_{way}{suffix}": round(ours["peak_bytes"] / theirs["peak_bytes"], 2),
                f"largest_difference_from_{way}{suffix}": float(f"{float(difference):.1e}"),
            }
    return document


def _run(way: Way, frames: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    net = random_net()
    visual = torch.randn(frames * 144, SIZES.width, generator=torch.Generator().manual_seed(1))
    if way == "ours_bf16":
        net, visual = net.to(torch.bfloat16), visual.to(torch.bfloat16)
    before = psutil.Process().memory_info().rss
    started = time.process_time()
    with torch.inference_mode():
        is_ours = way in ("ours", "ours_bf16")
        logits = _ours(net, visual) if is_ours else _reference(net, visual, way == "eager")
    cpu_s = time.process_time() - started
    grown = max(1, peak_rss_bytes() - before)
    return {"cpu_s": cpu_s, "peak_bytes": grown, "logits": logits.float().tolist()}


def random_net(sizes: DecoderConfig = SIZES) -> VideoXlNet:
    """Return a net with weights drawn from a fixed seed, its VST part a copy."""
    config = VideoXlConfig(
        decoder=sizes, chunk_tokens=CHUNK_TOKENS, compression_ratios=(RATIO,), eos_ids=(0,)
    )
    net = build(config, torch.device("cpu"), torch.float32)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = parameter.shape[-1] ** -0.5
            parameter.normal_(0.0, scale, generator=random)
    copy_base_to_vst(net)
    return net


def _ours(net: VideoXlNet, visual: torch.Tensor) -> torch.Tensor:
    decoder = net.decoder
    cache = open_cache(decoder, prefill_prefix(decoder, decoder.embed(torch.tensor(PREFIX))))
    for chunk in torch.split(visual, CHUNK_TOKENS):
        cache.append((compress_chunk(chunk, cache, interleave(chunk.shape[0], RATIO)),))
    question = decoder.embed(torch.tensor(QUESTION))[None]
    return decoder.logits(decoder.extend(question, cache.buffer)[0, -1])


def _reference(net: VideoXlNet, visual: torch.Tensor, is_eager: bool) -> torch.Tensor:
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter.detach()[slot.rows] for key, slot in slots(net).items()}
    reference = ReferenceVideoXl(weights, SIZES.to_json(), is_eager=is_eager)
    reference.read_text(PREFIX)
    for chunk in torch.split(visual, CHUNK_TOKENS):
        reference.read_chunk(chunk, RATIO)
    return reference.read_text(QUESTION)[-1]
