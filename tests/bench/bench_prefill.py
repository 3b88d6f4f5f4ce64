"""Folding video into summary tokens: our path beside the straightforward way, on one machine.

Both run the same random weights, frames' tokens and question, each in a process of its own so
that peaks of memory do not mix. The straightforward way is written in `tests/support`
after the public code: caches joined at every step, keys turned again, heads repeated, a dense
mask, every row of every layer and the head over all of them. Sizes are those of a small decoder
with the released geometry: 144 tokens a frame, ten frames a chunk, ratio 8.
"""

import multiprocessing
import resource
import sys
import time
from typing import Any, Literal

import psutil
import torch

from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build, copy_base_to_vst
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix
from tests.support.reference_video_xl import SlowVideoXl

Way = Literal["ours", "fused", "eager"]
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
    """Seconds, peak memory above the weights, and the largest difference of the answers.

    Args:
        model: Not used: the sizes are fixed, so that figures compare across checkpoints.
        frames: Of 144 tokens each.
        threads: Of torch, in every process.
    """
    found = {way: _apart(way, frames, threads) for way in ("ours", "fused", "eager")}
    ours = found["ours"]
    document: dict[str, Any] = {"frames": frames, "threads": threads, "compression_ratio": RATIO}
    for way, said in found.items():
        document[f"{way}_cpu_s"] = round(said["cpu_s"], 2)
        document[f"{way}_peak_mib"] = round(said["peak_bytes"] / 2**20)
    for way in ("fused", "eager"):
        theirs = found[way]
        document[f"times_faster_than_{way}"] = round(theirs["cpu_s"] / ours["cpu_s"], 2)
        document[f"memory_of_{way}"] = round(ours["peak_bytes"] / theirs["peak_bytes"], 2)
        difference = (torch.tensor(theirs["logits"]) - torch.tensor(ours["logits"])).abs().max()
        document[f"largest_difference_from_{way}"] = float(f"{float(difference):.1e}")
    return document


def _apart(way: Way, frames: int, threads: int) -> dict[str, Any]:
    """Run one way in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run, (way, frames, threads))


def _run(way: Way, frames: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    net = _net()
    visual = torch.randn(frames * 144, SIZES.width, generator=torch.Generator().manual_seed(1))
    before = psutil.Process().memory_info().rss
    started = time.process_time()
    with torch.inference_mode():
        logits = _ours(net, visual) if way == "ours" else _slow(net, visual, way == "eager")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if _is_mac() else 1024)
    cpu_s = time.process_time() - started
    return {"cpu_s": cpu_s, "peak_bytes": max(1, peak - before), "logits": logits.tolist()}


def _net() -> VideoXlNet:
    config = VideoXlConfig(
        decoder=SIZES, chunk_tokens=CHUNK_TOKENS, compression_ratios=(RATIO,), eos_ids=(0,)
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
    memory = open_cache(decoder, prefill_prefix(decoder, decoder.embed(torch.tensor(PREFIX))))
    for part in visual.split(CHUNK_TOKENS):
        memory.append((compress_chunk(part, memory, interleave(part.shape[0], RATIO)),))
    asked = decoder.embed(torch.tensor(QUESTION))[None]
    return decoder.logits(decoder.extend(asked, memory.buffer)[0, -1])


def _slow(net: VideoXlNet, visual: torch.Tensor, is_eager: bool) -> torch.Tensor:
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter.detach()[slot.rows] for key, slot in slots(net).items()}
    slow = SlowVideoXl(weights, SIZES.to_json(), is_eager=is_eager)
    slow.read_text(PREFIX)
    for part in visual.split(CHUNK_TOKENS):
        slow.read_chunk(part, RATIO)
    return slow.read_text(QUESTION)[-1]


def _is_mac() -> bool:
    """There `ru_maxrss` counts bytes."""
    return sys.platform == "darwin"


if __name__ == "__main__":
    print(measure())
