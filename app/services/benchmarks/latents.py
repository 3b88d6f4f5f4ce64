"""Latents in each stored form: their bytes, the needles that are still found, the drift of logits.

Needles: nano (or the model that is named) over a drawn haystack whose seed no training saw.
Drift: a decoder of the released geometry with random weights and, as in Qwen2, biases of hundreds
on a few key channels of its first and last layer; the answer's logits over recalled chunks in
each form against those over native ones. Bytes of a 7B: sums over the published sizes.
"""

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, get_args

import torch

from app.config.settings import load_settings
from app.services.context import ServiceContext
from engine.cache.codec import pack, unpack
from engine.cache.quantise import packed_bytes
from engine.evaluation.bench.prefill import CHUNK_TOKENS, PREFIX, QUESTION, SIZES, random_net
from engine.evaluation.needle import Needle, drawn_needles
from engine.evaluation.needle_grid import DEPTHS, GridConfig, drawn_haystack, run_grid
from engine.files import atomic_write, make_folder
from engine.models.layers.decoder import Layer
from engine.models.video_xl.model import RELEASES
from engine.models.video_xl.net import VideoXlNet
from engine.models.video_xl.vst import compress_chunk, interleave, open_cache, prefill_prefix
from engine.pipeline.engine import Engine, assemble
from engine.probe_records import ProbeCell, ProbeResult
from engine.records import ModelCard, Storage
from engine.tensors import KvLatents
from storage.files import HomeFolder

FORMS: Final[tuple[Storage, ...]] = get_args(Storage)
LENGTHS: Final = (64, 256, 1024, 4096)
RATIOS: Final = (8, 16)
HAYSTACK_SEED: Final = 777_000
FIRST_NEEDLE_SEED: Final = 778_000
N_CHUNKS: Final = 4
"""Chunks that the logits of an answer look back on."""
BIASED_CHANNELS: Final = ((1, 605.0), (9, -921.0), (22, 300.0))
"""Channel of each key head, and its bias: Qwen2.5-7B has up to 605 in layer 0, 921 in layer 27."""
BRIEF: Final = {"lengths": (64, 256)}
"""What all benchmarks together measure of this one."""


def measure(
    *,
    model: str | None = None,
    lengths: tuple[int, ...] = LENGTHS,
    needles: int = 4,
    n_chunks: int = N_CHUNKS,
    progress: Path | None = None,
) -> dict[str, Any]:
    """Measure every stored form.

    Args:
        model: That looks for needles; the settings' when `None`.
        lengths: Frames of the haystacks.
        needles: Planted in each cell.
        n_chunks: Recalled for the drift of logits.
        progress: Keeps the cells that are done, so that a run that was stopped goes on from them;
            a file in the home folder when `None`, and gone after the last cell.
    """
    progress = progress or HomeFolder(load_settings({"model": model}).home).bench_latents
    planted = drawn_needles(needles, first_seed=FIRST_NEEDLE_SEED)
    card = RELEASES[0].card
    drifts = _drifts(n_chunks)
    document: dict[str, Any] = {"lengths": list(lengths), "needles_a_cell": needles}
    with tempfile.TemporaryDirectory() as folder:
        context = ServiceContext(load_settings({"model": model}, home=Path(folder) / "home"))
        try:
            for form in FORMS:
                document[form] = {
                    **drifts[form],
                    **{
                        f"video_xl_7b_gib_an_hour_ratio_{ratio}": round(
                            _bytes_an_hour(card, form, ratio) / 2**30, 3
                        )
                        for ratio in RATIOS
                    },
                    **_needles(context.engine, form, planted, lengths, progress),
                }
        finally:
            context.close()
    progress.unlink(missing_ok=True)
    week = 168 * _bytes_an_hour(card, "int3", 16) / 2**30
    document["week_of_a_camera_7b_ratio_16_int3_gib"] = round(week, 1)
    return document


def _needles(
    engine: Engine,
    form: Storage,
    needles: Sequence[Needle],
    lengths: Iterable[int],
    progress: Path,
) -> dict[str, Any]:
    """Return the shares of right answers and first evidence over all cells, by ratio."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        config = replace(
            engine.config,
            cache=replace(engine.config.cache, storage=form),
            latents_folder=Path(folder),
            index_folder=Path(folder),
            durable=False,
        )
        stored = assemble(config, model=engine.model)
        for ratio in RATIOS:
            grid = GridConfig(lengths=tuple(lengths), depths=DEPTHS, compression_ratio=ratio)
            hay = drawn_haystack(max(grid.lengths), fps=engine.sampling.fps, seed=HAYSTACK_SEED)
            key = f"{engine.model.card.fingerprint} {form} {ratio} {len(needles)}"
            measured = _measured(progress, key)
            steps = run_grid(stored, hay, needles, grid, haystack="drawn", measured=measured)
            for result in steps:
                if isinstance(result, ProbeCell):
                    measured.append(result)
                    _keep(progress, key, measured)
            assert isinstance(result, ProbeResult)
            figures[f"answers_right_ratio_{ratio}"] = round(result.answer_accuracy, 3)
            figures[f"first_evidence_right_ratio_{ratio}"] = round(result.evidence_hit_at_1, 3)
    return figures


def _measured(progress: Path, key: str) -> list[ProbeCell]:
    """Return the cells of one grid that an earlier run has measured."""
    if not progress.is_file():
        return []
    cells = json.loads(progress.read_text(encoding="utf-8")).get(key, [])
    return [ProbeCell(**cell) for cell in cells]


def _keep(progress: Path, key: str, cells: Sequence[ProbeCell]) -> None:
    """Write the cells of one grid beside those of the others."""
    make_folder(progress.parent, durable=False)
    kept = json.loads(progress.read_text(encoding="utf-8")) if progress.is_file() else {}
    kept[key] = [asdict(cell) for cell in cells]
    with atomic_write(progress) as temporary:
        temporary.write_text(json.dumps(kept), encoding="utf-8")


def _drifts(n_chunks: int) -> dict[Storage, dict[str, float]]:
    """Return how far the logits of each form differ from those of native latents.

    The largest difference, in standard deviations of the native logits.
    """
    drifts: dict[Storage, dict[str, float]] = {form: {} for form in FORMS}
    for name, biases in (("plain", ()), ("qwen2_biases", BIASED_CHANNELS)):
        net = random_net(replace(SIZES, n_layers=4))
        _plant_biases(net, biases)
        with torch.inference_mode():
            logits = {form: _logits(net, form, n_chunks) for form in FORMS}
        native = logits["native"]
        for form in FORMS:
            drift = float((logits[form] - native).abs().max() / native.std())
            drifts[form][f"logit_drift_{name}"] = float(f"{drift:.2g}")
    return drifts


def _plant_biases(net: VideoXlNet, biases: Iterable[tuple[int, float]]) -> None:
    """Give keys of the first and the last layer a bias, of text and of summary tokens alike."""
    config = net.decoder.config
    first_key = config.n_heads * config.head_dim
    with torch.no_grad():
        for layer in (net.decoder.layers[0], net.decoder.layers[-1]):
            assert isinstance(layer, Layer)
            for projection in (layer.attention.qkv, layer.attention.vst_qkv):
                assert projection is not None
                for head in range(config.n_kv_heads):
                    for channel, bias in biases:
                        projection.bias[first_key + head * config.head_dim + channel] += bias


def _logits(net: VideoXlNet, form: Storage, n_chunks: int) -> torch.Tensor:
    decoder, device = net.decoder, torch.device("cpu")
    tokens = torch.randn(
        n_chunks * CHUNK_TOKENS, SIZES.width, generator=torch.Generator().manual_seed(1)
    )
    sink = prefill_prefix(decoder, decoder.embed(torch.tensor(PREFIX)))
    cache = open_cache(decoder, sink)
    for chunk in torch.split(tokens, CHUNK_TOKENS):
        latents = compress_chunk(chunk, cache, interleave(chunk.shape[0], RATIOS[0]))
        recalled = unpack(pack(latents, form), device)
        assert isinstance(recalled, KvLatents)
        cache.append((recalled,))
    question = decoder.embed(torch.tensor(QUESTION))[None]
    return decoder.logits(decoder.extend(question, cache.buffer)[0, -1])


def _bytes_an_hour(card: ModelCard, form: Storage, ratio: int) -> int:
    """Return the bytes of an hour of latents at 1 frame a second, steps and zeros included."""
    n_latents = card.latents_at(ratio)
    native = n_latents * card.latent_bytes
    n_channels = card.latent_bytes // 2
    bits = {"int8": 8, "int4": 4, "int3": 3}.get(form)
    chunk = native if bits is None else n_channels * (packed_bytes(n_latents, bits) + 3)
    return round(3600 / card.chunk_frames * chunk)
