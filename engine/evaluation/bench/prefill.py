"""Folding of video into summary tokens: the engine beside the straightforward way.

Both run the same random weights, frames' tokens and question. The straightforward way
(`engine/evaluation/reference_video_xl.py`) is written after the public code: caches joined and
keys rotated again at every step, heads repeated, a dense mask, every row of every layer and the
head over all of them. Sizes are those of a small decoder with the released geometry: 144 tokens
a frame, ten frames a chunk, ratio 8. The engine also runs in bfloat16, which large models take on
CPUs that multiply it; the straightforward way runs in float32, as it does wherever nobody chose.
Where a copy of the published code is given, that runs, too: the same weights in a released folder.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from engine.evaluation.bench._process import forget_peak, in_fresh_process, peak_rss_bytes
from engine.evaluation.bench._upstream import find_upstream, run_upstream
from engine.evaluation.reference_video_xl import ReferenceVideoXl
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.weights import released_names, slots
from engine.models.precision import multiplies_bf16
from engine.models.video_xl.net import KEY_MAP, VideoXlConfig, VideoXlNet, build, copy_base_to_vst
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix

Way = Literal["ours", "ours_bf16", "fused", "eager"]
ATTENTIONS: Final[dict[str, Literal["sdpa", "eager"]]] = {
    "upstream_fused": "sdpa",
    "upstream_eager": "eager",
}
PREFIX, QUESTION = list(range(14)), list(range(20, 40))
FRAME_TOKENS, CHUNK_TOKENS, RATIO = 144, 1440, 8
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


def measure(
    *,
    model: str | None = None,
    frames: int = 60,
    threads: int = 1,
    upstream: Path | None = None,
    upstream_python: Path | None = None,
) -> dict[str, Any]:
    """Return seconds, peak memory above the weights, and the largest difference of the logits.

    Args:
        model: Not used: the sizes are fixed, so that figures compare across checkpoints.
        frames: Of 144 tokens each.
        threads: Of torch, in every process.
        upstream: A clone of the published code, which is measured, too.
        upstream_python: The interpreter for it; this one when `None`.
    Raises:
        InputRefusedError: There is no such code.
        MissingCapabilityError: It does not run.
    """
    published = None if upstream is None else find_upstream(upstream, upstream_python)
    ways: tuple[Way, ...] = ("ours", "ours_bf16", "fused", "eager")
    runs: dict[str, dict[str, Any]] = {
        way: in_fresh_process(_run, way, frames, threads) for way in ways
    }
    if published is not None:
        net, visual = random_net(), _features(frames)
        for way, attention in ATTENTIONS.items():
            runs[way] = run_upstream(
                published,
                net,
                visual,
                prefix=PREFIX,
                question=QUESTION,
                n_first=FRAME_TOKENS,
                attention=attention,
                threads=threads,
            )
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
    others = [way for way in runs if way not in ("ours", "ours_bf16")]
    for suffix, ours in (("", runs["ours"]), ("_bf16", runs["ours_bf16"])):
        for way in others:
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
    net, visual = random_net(), _features(frames)
    if way == "ours_bf16":
        net, visual = net.to(torch.bfloat16), visual.to(torch.bfloat16)

    def read(features: Tensor) -> Tensor:
        if way in ("ours", "ours_bf16"):
            return read_with_engine(net, features, prefix=PREFIX, question=QUESTION)
        return _reference(net, features, way == "eager")

    with torch.inference_mode():
        # A frame first: what a library loads and prepares at its first call is nobody's way.
        read(visual[:FRAME_TOKENS])
        before, started = forget_peak(), time.process_time()
        logits = read(visual)
        cpu_s = time.process_time() - started
    grown = max(1, peak_rss_bytes() - before)
    return {"cpu_s": cpu_s, "peak_bytes": grown, "logits": logits.float().tolist()}


def _features(frames: int) -> Tensor:
    return torch.randn(
        frames * FRAME_TOKENS, SIZES.width, generator=torch.Generator().manual_seed(1)
    )


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


def read_with_engine(
    net: VideoXlNet,
    visual: Float[Tensor, "tokens width"],
    *,
    prefix: Sequence[int],
    question: Sequence[int],
) -> Float[Tensor, " vocabulary"]:
    """Fold features between two pieces of text, and return the logits of the last position."""
    decoder = net.decoder
    sink = prefill_prefix(decoder, decoder.embed(torch.tensor([*prefix])))
    # Room for all that is kept, and for the rows of one chunk; a question is shorter than these.
    n_more = (visual.shape[0] + CHUNK_TOKENS) // RATIO + CHUNK_TOKENS
    cache = open_cache(decoder, sink, n_more=n_more)
    for chunk in torch.split(visual, CHUNK_TOKENS):
        cache.append((compress_chunk(chunk, cache, interleave(chunk.shape[0], RATIO)),))
    question_rows = decoder.embed(torch.tensor([*question]))[None]
    return decoder.logits(decoder.extend(question_rows, cache.buffer)[0, -1])


def _reference(net: VideoXlNet, visual: Tensor, is_eager: bool) -> Tensor:
    names = released_names(net, KEY_MAP)
    weights = {names[key]: slot.parameter.detach()[slot.rows] for key, slot in slots(net).items()}
    reference = ReferenceVideoXl(weights, SIZES.to_json(), is_eager=is_eager)
    reference.read_text(PREFIX)
    for chunk in torch.split(visual, CHUNK_TOKENS):
        reference.read_chunk(chunk, RATIO)
    return reference.read_text(QUESTION)[-1]
