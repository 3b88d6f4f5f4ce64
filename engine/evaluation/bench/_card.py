"""Work on a card as users ask for it: ingest, answers beside it, stored latents, every family."""

import math
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import torch
from jaxtyping import UInt8

from engine import device as devices
from engine.cache.budget import CacheConfig
from engine.cache.codec import pack, unpack
from engine.evaluation.bench._released import GpuPlan, NoiseFrames
from engine.media.encode import write_video
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.models.registry import families, load_family, load_model
from engine.models.video_xl.model import VideoXl
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import FrameSource, ingest
from engine.protocols import Sampling, VideoModel
from engine.records import ChunkRef, Storage, TimeSpan, VideoId
from engine.tensors import ChunkLatents, FrameBatch, KvLatents, Latents, VisualTokens

FILE_FPS: Final = 25
QUESTION: Final = "What is there to see?"
STORAGES: Final[tuple[Storage, ...]] = get_args(Storage)


def random_latents(model: VideoXl, n_latents: int) -> KvLatents:
    """Return latents of noise, where the model is."""
    config = model.net.config.decoder
    shape = (config.n_layers, config.n_kv_heads, n_latents, config.head_dim)
    keys, values = (
        torch.randn(shape, device=model.device, dtype=model.dtype) * 0.1 for _ in range(2)
    )
    return KvLatents(keys=keys, values=values)


def measure_ingest(model: VideoXl, plan: GpuPlan, folder: Path) -> dict[str, Any]:
    """Ingest noise with and without overlapping steps, and a file with its decoding."""
    size = plan.frame_px
    noise = NoiseFrames(plan.n_chunks * model.card.chunk_frames, size)
    document: dict[str, Any] = {
        name: _ingest(_engine(model, plan, folder / name), noise, overlaps=overlaps)
        for name, overlaps in (("plain", False), ("overlapping", True))
    }
    plain, beside = (document[name]["frames_per_s"] for name in ("plain", "overlapping"))
    document["overlapping_over_plain"] = round(beside / plain, 2)
    path = folder / "drawn.mp4"
    n_s = max(plan.n_chunks, 4 * model.card.chunk_frames)
    pictures = _moving(size, n_s * FILE_FPS)
    write_video(path, pictures, float(FILE_FPS), gop_frames=2 * FILE_FPS, preset="ultrafast")
    engine = _engine(model, plan, folder / "file")
    with FrameReader(str(path), engine.sampling, limits=MediaLimits()) as reader:
        measured = _ingest(engine, reader, overlaps=True)
    video_s = measured["frames_per_s"] / engine.sampling.fps
    document["file"] = {
        **measured,
        "what": f"H.264, {size[1]}x{size[0]}, {FILE_FPS} frames/s, sampled at 1 a second",
        "megabits_a_second": round(path.stat().st_size * 8e-6 / n_s, 1),
        "seconds_of_video_a_second": round(video_s, 1),
    }
    return document


def _ingest(engine: Engine, frames: FrameSource, *, overlaps: bool) -> dict[str, Any]:
    """Ingest to a real disk, every chunk waited for."""
    times = [time.perf_counter()]
    for _ in ingest(engine, VideoId("noise"), frames, overlaps=overlaps):
        times.append(time.perf_counter())
    # The first chunk fills the pipeline; rates are those behind it.
    per_s = (len(times) - 2) * engine.model.card.chunk_frames / (times[-1] - times[1])
    return {"chunks": len(times) - 1, "frames_per_s": round(per_s, 2)}


def _moving(size_px: tuple[int, int], n_frames: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield pictures of a texture that moves."""
    height, width = size_px
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (height // 24 + 1, width // 24 + 1, 3), dtype=np.uint8)
    texture = np.kron(small, np.ones((24, 24, 1), np.uint8))[:height, :width]
    for idx in range(n_frames):
        yield np.ascontiguousarray(np.roll(texture, 3 * idx, axis=1))


def measure_answers(model: VideoXl, plan: GpuPlan, folder: Path) -> dict[str, Any]:
    """Measure the first token of questions, alone and while a video is being ingested."""
    n_latents = model.card.latents_at(plan.ratio)
    n_recalled = max(1, plan.recalled // (8 * n_latents))
    latents = random_latents(model, n_latents)
    recalled = [_chunk(model, latents, ordinal) for ordinal in range(n_recalled)]
    document: dict[str, Any] = {"latents": n_recalled * n_latents}
    _answer(model, recalled, plan.n_steps)
    document["alone"] = _answers(model, recalled, plan.n_steps, 5)
    stop = threading.Event()
    noise = _Until(NoiseFrames(1 << 20, plan.frame_px), stop)
    engine, rates = _engine(model, plan, folder / "beside"), list[dict[str, Any]]()
    thread = threading.Thread(
        target=lambda: rates.append(_ingest(engine, noise, overlaps=True)), daemon=True
    )
    thread.start()
    time.sleep(plan.n_chunks / 20)  # Until the pipeline is full.
    document["beside"] = _answers(model, recalled, plan.n_steps, 5)
    stop.set()
    thread.join()
    document["ingest_frames_per_s"] = rates[0]["frames_per_s"]
    return document


class _Until(NoiseFrames):
    """A source of noise until somebody has seen enough."""

    def __init__(self, frames: NoiseFrames, stop: threading.Event) -> None:
        super().__init__(frames.n_frames, frames.size_px)
        self._stop = stop

    def __iter__(self) -> Iterator[Any]:
        for idx, frame in enumerate(super().__iter__()):
            # At least two chunks, or there is no rate.
            if self._stop.is_set() and idx >= 64:
                return
            yield frame


def _answers(
    model: VideoModel, recalled: list[ChunkLatents], n_steps: int, n: int
) -> dict[str, float]:
    both = sorted(_answer(model, recalled, n_steps) for _ in range(n))
    first_s, rest_s = both[len(both) // 2]
    return {"first_token_ms": round(first_s * 1e3, 1), "ms_a_token": round(rest_s * 1e3, 2)}


def _answer(model: VideoModel, recalled: list[ChunkLatents], n_steps: int) -> tuple[float, float]:
    """Return the seconds until a first token, and those of each further one."""
    started = time.perf_counter()
    times = [started]
    for _ in model.generate(QUESTION, recalled, Sampling(max_tokens=n_steps)):
        times.append(time.perf_counter())
    n_further = max(1, len(times) - 2)
    return times[1] - started, (times[-1] - times[1]) / n_further


def measure_storages(model: VideoXl, plan: GpuPlan) -> dict[str, Any]:
    """Pack and unpack a chunk in every form, and say how many hours of it the device holds."""
    latents = random_latents(model, model.card.latents_at(plan.ratio))
    budget = devices.cache_bytes(model.device)
    document: dict[str, Any] = {"budget_bytes": budget}
    for storage in STORAGES:
        packed = pack(latents, storage)
        restored = unpack(packed, model.device)
        assert isinstance(restored, KvLatents)
        chunks_an_hour = 3600 / model.card.chunk_frames
        document[storage] = {
            "bytes_a_chunk": packed.nbytes,
            "hours": round(budget / (packed.nbytes * chunks_an_hour), 1),
            "pack_ms": _ms(model.device, lambda storage=storage: pack(latents, storage)),
            "unpack_ms": _ms(model.device, lambda packed=packed: unpack(packed, model.device)),
            "equal_on_the_cpu": all(
                torch.equal(getattr(restored, name).cpu(), getattr(on_host, name))
                for on_host in [unpack(packed, devices.CPU)]
                for name in ("keys", "values")
            ),
        }
    return document


def _ms(device: torch.device, work: Any) -> float:
    if devices.is_real(device):
        return round(devices.time_on_device(work) * 1e3, 3)
    started = time.perf_counter()
    work()
    return round((time.perf_counter() - started) * 1e3, 3)


def compare_families(device: torch.device, folder: Path) -> dict[str, Any]:
    """Compare the tiny variant of every family on a device with itself on the CPU.

    Returns:
        Of each family the largest difference of its latents in their largest value, and whether
        greedy answers are the same words.
    """
    document: dict[str, Any] = {}
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        for name in families():
            with tempfile.TemporaryDirectory(dir=folder) as home:
                load_family(name).write_tiny(Path(home))
                try:
                    document[name] = _compare(Path(home), device)
                except (RuntimeError, ValueError) as error:
                    # One that this torch cannot run keeps none of the others from being compared.
                    document[name] = {"failed": str(error)[:200]}
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    return document


def _compare(home: Path, device: torch.device) -> dict[str, Any]:
    exact = _run(load_model(home, device=devices.CPU, dtype=torch.float32))
    compared: dict[str, Any] = {}
    for dtype in (torch.float32, torch.bfloat16):
        other = _run(load_model(home, device=device, dtype=dtype))
        compared[str(dtype).removeprefix("torch.")] = {
            "largest_difference": float(f"{_difference(exact[0], other[0]):.2g}"),
            "same_answer": exact[1] == other[1],
        }
    return compared


def _run(model: VideoModel) -> tuple[Latents, str]:
    """Return the latents of a chunk of noise, and an answer behind two of them."""
    random = torch.Generator().manual_seed(0)
    n_frames = model.card.chunk_frames
    pixels = torch.randint(0, 256, (n_frames, 3, 64, 64), dtype=torch.uint8, generator=random)
    frames = FrameBatch(pixels=pixels, pts_s=torch.arange(n_frames, dtype=torch.float64))
    tokens: VisualTokens = model.encode(frames)
    latents = model.compress(tokens, model.open_stream())
    recalled = [_chunk(model, latents, ordinal) for ordinal in range(2)]
    steps = model.generate(QUESTION, recalled, Sampling(max_tokens=24))
    return latents, "".join(token.text for token in steps)


def _difference(exact: Any, other: Any) -> float:
    largest = 0.0
    for name in ("keys", "values", "embeddings"):
        if (ours := getattr(exact, name, None)) is not None:
            theirs = getattr(other, name).float().cpu()
            largest = max(largest, float((ours - theirs).abs().max() / ours.abs().max()))
    return largest if math.isfinite(largest) else math.inf


def _chunk(model: VideoModel, latents: Any, ordinal: int) -> ChunkLatents:
    n_frames = model.card.chunk_frames
    start_s = float(n_frames * ordinal)
    return ChunkLatents(
        ref=ChunkRef(
            video=VideoId("noise"),
            ordinal=ordinal,
            span=TimeSpan(start_s=start_s, end_s=start_s + n_frames),
        ),
        latents=latents,
        frame_vectors=torch.zeros(n_frames, model.card.vector_dim),
        pts_s=torch.arange(n_frames, dtype=torch.float64) + start_s,
    )


def _engine(model: VideoXl, plan: GpuPlan, folder: Path) -> Engine:
    config = EngineConfig(
        model=ModelConfig(
            folder=folder, device=str(model.device.type), compression_ratio=plan.ratio
        ),
        latents_folder=folder / "latents",
        index_folder=folder / "index",
        sampling=replace(SamplingConfig(), thin_static=False),
        cache=CacheConfig(),
    )
    return assemble(config, model=model)
