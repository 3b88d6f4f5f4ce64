"""Gradient checkpointing: peak memory and time of one training step, with and without.

One sequence of a long video goes forwards and backwards through the one pass of a small decoder
with the released geometry (144 tokens a frame, chunks of ten frames, ratio 8). Gradients are
compared by their norm.
"""

import time
from typing import Any

import torch

from engine.evaluation.bench._process import forget_peak, in_fresh_process, peak_rss_bytes
from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.video_xl.parallel_forward import SequenceSpec, build_layout, parallel_forward

PREFIX, TEXT, WINDOW, RATIO, PER_FRAME = 14, 40, 1440, 8, 144
SIZES = DecoderConfig(
    vocab_size=1024,
    width=256,
    mlp_width=704,
    n_layers=8,
    n_heads=8,
    n_kv_heads=2,
    head_dim=32,
    rope_theta=1e6,
    qkv_bias=True,
    has_vst=True,
)


def measure(*, model: str | None = None, frames: int = 64, threads: int = 1) -> dict[str, Any]:
    """Return peak memory above the weights and seconds of a step, with and without checkpoints.

    Args:
        model: Not used: the sizes are fixed, so that figures compare across checkpoints.
        frames: Of 144 tokens each.
        threads: Of torch, in every process.
    """
    plain, checkpointed = (
        in_fresh_process(_run, is_checkpointed, frames, threads)
        for is_checkpointed in (False, True)
    )
    return {
        "frames": frames,
        "tokens": frames * PER_FRAME,
        "threads": threads,
        "peak_mib": round(plain["peak_bytes"] / 2**20),
        "peak_mib_checkpointed": round(checkpointed["peak_bytes"] / 2**20),
        "memory_share": round(checkpointed["peak_bytes"] / plain["peak_bytes"], 2),
        "cpu_s": round(plain["cpu_s"], 1),
        "cpu_s_checkpointed": round(checkpointed["cpu_s"], 1),
        "gradient_difference": float(f"{abs(checkpointed['norm'] / plain['norm'] - 1):.1e}"),
    }


def _run(gradient_checkpointing: bool, frames: int, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    decoder, random = Decoder(SIZES), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=random)
    rows = torch.randn(1, PREFIX + frames * PER_FRAME + TEXT, SIZES.width, generator=random)
    n = frames * PER_FRAME
    chunks = tuple((min(WINDOW, n - start), RATIO) for start in range(0, n, WINDOW))
    layout = build_layout(
        SequenceSpec(n_prefix=PREFIX, chunks=chunks, texts=(TEXT,), is_closed=True)
    )
    before, started = forget_peak(), time.process_time()
    hidden = parallel_forward(decoder, rows, layout, gradient_checkpointing=gradient_checkpointing)
    decoder.logits(hidden[0, -TEXT:]).square().mean().backward()  # type: ignore[no-untyped-call]
    cpu_s, peak = time.process_time() - started, peak_rss_bytes()
    grads = [weight.grad for weight in decoder.parameters() if weight.grad is not None]
    return {
        "peak_bytes": max(1, peak - before),
        "cpu_s": cpu_s,
        "norm": float(torch.stack([grad.norm() for grad in grads]).norm()),
    }
