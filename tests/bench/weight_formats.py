"""What fewer bits of a decoder save, change and cost: `python -m tests.bench.weight_formats`.

One drawn video is read by the model in each format, and questions about it are asked: the scores of
the first word of an answer are compared with those of the native weights. Steps of an answer are
timed in turn, format by format, by the CPU's time, so that other work on the machine tells little:
of the model, and of one layer in the size of the released Video-XL 7B with random weights.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.evaluation.bench._released import RELEASED
from engine.models.layers.decoder import Decoder
from engine.models.layers.generate import first_step
from engine.models.layers.tokenizer import QWEN
from engine.models.registry import load_model
from engine.models.tiny import randomise
from engine.models.video_xl.model import VideoXl
from engine.models.video_xl.vst import open_cache
from engine.records import WeightFormat
from engine.synthetic.questions import questions
from engine.synthetic.story import Story, draw_story
from engine.tensors import FrameBatch, KvLatents
from tests.support.turned_matrices import turn_matrices

CPU = torch.device("cpu")
FORMATS: tuple[WeightFormat, ...] = get_args(WeightFormat)
PAST = 1000
"""Tokens behind which a step is timed."""
ROUNDS = 3


def main() -> None:
    """Print the figures of `docs/models.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("assets/models/nano"))
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    models = {
        weights: load_model(chosen.model, device=CPU, dtype=torch.float32, weights=weights)
        for weights in FORMATS
    }
    decoders, scores = dict[WeightFormat, Decoder](), dict[WeightFormat, Tensor]()
    story = draw_story(80_001, chosen.seconds, 1.0)
    for weights, model in models.items():
        assert isinstance(model, VideoXl)
        decoders[weights] = model.net.decoder
        scores[weights] = first_words(model, story)
    document = {
        "threads": chosen.threads,
        "questions": len(scores["native"]),
        "model": figures(decoders, chosen.steps),
        "drift": {weights: drift(scores["native"], scores[weights]) for weights in FORMATS[1:]},
    }
    for dtype in (torch.float32, torch.bfloat16):
        layers = {weights: released_layer(weights, dtype) for weights in FORMATS}
        document[f"released layer, {str(dtype).removeprefix('torch.')}"] = figures(
            layers, chosen.steps
        )
    print(json.dumps(document, indent=1))


@torch.inference_mode()
def first_words(model: VideoXl, story: Story) -> Float32[Tensor, "question vocab"]:
    """Return the scores of the first token of the answer to every question about a video."""
    frames, stream, latents = list(story), model.open_stream(), list[KvLatents]()
    for start in range(0, len(frames), model.card.chunk_frames):
        chunk = np.stack([frame for frame in frames[start : start + model.card.chunk_frames]])
        pixels = torch.from_numpy(chunk).permute(0, 3, 1, 2)
        pts_s = torch.arange(start, start + len(pixels), dtype=torch.float64)
        tokens = model.encode(model.fit(FrameBatch(pixels=pixels, pts_s=pts_s)))
        latents.append(model.compress(tokens, stream))
        stream.remember(latents[-1])
    rows = []
    for question in questions(story):
        prompt = model._embed(QWEN.after_video(model.tokenizer, question.text))
        cache = open_cache(model.net.decoder, model._sink, latents, n_more=len(prompt))
        rows.append(first_step(model.net.decoder, cache.buffer, prompt, None)[0].float())
    return torch.stack(rows)


def drift(
    native: Float[Tensor, "question vocab"], other: Float[Tensor, "question vocab"]
) -> dict[str, float]:
    """Return how far scores of first words lie apart, and how often the best one is another."""
    same = (native.argmax(1) == other.argmax(1)).float().mean()
    divergence = torch.nn.functional.kl_div(
        other.log_softmax(1), native.log_softmax(1), log_target=True, reduction="batchmean"
    )
    return {
        "mean_difference": round(float((native - other).abs().mean()), 3),
        "spread_of_native": round(float(native.std(1).mean()), 3),
        "divergence_nats": round(float(divergence), 4),
        "same_first_word": round(float(same), 3),
    }


def released_layer(weights: WeightFormat, dtype: torch.dtype) -> Decoder:
    """Return a decoder of one layer of Video-XL 7B, with random weights."""
    config = replace(RELEASED.decoder, n_layers=1, vocab_size=64, has_vst=False)
    decoder = Decoder(config).to(dtype).requires_grad_(False).eval()
    randomise(decoder, seed=0)
    turn_matrices(decoder, weights)
    return decoder


@torch.inference_mode()
def figures(decoders: Mapping[WeightFormat, Decoder], n_steps: int) -> dict[str, dict[str, float]]:
    """Return bytes of the layers, and the CPU's time of a step beside that of native weights."""
    taken: dict[WeightFormat, list[float]] = {weights: [] for weights in decoders}
    for _ in range(ROUNDS):
        for weights, decoder in decoders.items():
            buffer = decoder.buffer(PAST + n_steps)
            buffer.n = PAST
            row = torch.randn(1, 1, decoder.config.width).to(decoder.embed.weight.dtype)
            decoder.extend(row, buffer)
            started = time.process_time()
            for _ in range(n_steps - 1):
                decoder.extend(row, buffer)
            taken[weights].append((time.process_time() - started) / (n_steps - 1))
    native_s = statistics.median(taken["native"])
    return {
        weights: {
            "layers_mb": round(sum(w.nbytes for w in decoder.layers.parameters()) / 1e6, 2),
            "step_cpu_ms": round(1000 * statistics.median(taken[weights]), 2),
            "times_native": round(statistics.median(taken[weights]) / native_s, 2),
        }
        for weights, decoder in decoders.items()
    }


if __name__ == "__main__":
    main()
