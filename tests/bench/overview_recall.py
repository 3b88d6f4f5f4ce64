"""What an overview keeps of a search of stills: `python -m tests.bench.overview_recall --root DIR`.

Reads the clips of a folder in the layout of the evaluation of recordings, encodes a frame every
quarter of a second with the default eyes, and makes a library of many videos from them: stretches
of real frames with noise on the log-odds of their classes. Every phrase of `searches.json` is then
searched with the overview and, in the same run, in a pass over all stills.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from engine.cache.vectors import VectorStore
from engine.errors import LongwatchError
from engine.index.segments import SegmentedIndex
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.pipeline.encoder_index import EncoderIndex
from engine.pipeline.still_search import search_stills
from engine.records import ChunkRef, TimeSpan, VideoId
from engine.sight.encoders.concepts import Concepts, open_encoder

FRAMES_A_CHUNK = 8
CHUNKS_A_VIDEO = 20
STEP = 2
"""Frames of the clips from one still to the next: half a second."""
TOP = 40
BATCH = 16


def main() -> None:
    """Print a row for the table of `docs/benchmarks.md`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="Clips and searches.json.")
    parser.add_argument("--videos", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    phrases = [
        row["query"] for row in json.loads((chosen.root / "searches.json").read_text())["searches"]
    ]
    with tempfile.TemporaryDirectory() as folder:
        encoder = open_encoder(cache=Path(folder) / "encoder")
        frames = [encoded for path in clips(chosen.root) if (encoded := encode(encoder, path)).size]
        index = SegmentedIndex(encoder.card.dim)
        fill(index, encoder, frames, n_videos=chosen.videos, seed=chosen.seed)
        path = Path(folder) / f"{encoder.card.fingerprint}.index"
        index.save(path, encoder.card.fingerprint)
        index.settle()
        library = DrawnLibrary(
            encoder=encoder,
            vectors=VectorStore(Path(folder) / "vectors", encoder.card.fingerprint),
            index=index,
            index_path=path,
        )
        print(json.dumps({"stills": sum(map(len, frames)), **compare(library, phrases)}, indent=1))


class DrawnLibrary(EncoderIndex):
    """A library whose vectors are in the index alone."""

    def refresh(self, videos: Iterable[VideoId] | None = None) -> None:
        """Leave the index as it is."""


def clips(root: Path) -> list[Path]:
    """Return the recordings below a folder, by name."""
    kinds = {".mp4", ".avi", ".mkv", ".webm", ".mov"}
    folders = [root / "clips", root / "more" / "clips"]
    return sorted(
        path for at in folders if at.is_dir() for path in at.iterdir() if path.suffix in kinds
    )


def encode(encoder: Concepts, path: Path) -> Float[np.ndarray, "n d"]:
    """Return the vectors of the frames of a recording, four a second; none where it is refused."""
    vectors: list[np.ndarray] = []
    try:
        with FrameReader(
            str(path), SamplingConfig(fps=4.0, thin_static=False), limits=MediaLimits()
        ) as reader:
            pixels = [frame.pixels for frame in reader]
    except LongwatchError as error:
        print(f"{path.name}: left out: {error}")
        return np.empty((0, encoder.card.dim), np.float32)
    for start in range(0, len(pixels), BATCH):
        vectors.append(encoder.encode_images(pixels[start : start + BATCH]).float().numpy())
    return np.concatenate(vectors)


def fill(
    index: SegmentedIndex,
    encoder: Concepts,
    recordings: Sequence[Float[np.ndarray, "_ d"]],
    *,
    n_videos: int,
    seed: int,
) -> None:
    """Add videos of real stretches, each with a look of its own and noise in every frame."""
    rng = np.random.default_rng(seed)
    reach = STEP * (FRAMES_A_CHUNK - 1)
    stretches = [
        vectors[start : start + reach + 1 : STEP]
        for vectors in recordings
        for start in range(len(vectors) - reach)
    ]
    n_classes = encoder.card.dim - 2 - _N_LABELS
    for number in range(n_videos):
        look = rng.normal(0, 0.6, n_classes)
        scene = rng.integers(len(stretches))
        for ordinal in range(CHUNKS_A_VIDEO):
            stays = rng.random() < 0.5
            real = stretches[scene if stays else rng.integers(len(stretches))]
            odds = np.log(real[:, :n_classes] + 1e-6) + look + rng.normal(0, 0.5, n_classes)
            odds += rng.normal(0, 0.3, odds.shape)
            classes = np.exp(odds - odds.max(axis=1, keepdims=True))
            labels = real[:, n_classes : n_classes + _N_LABELS]
            labels = labels * rng.normal(1, 0.15, labels.shape) * (rng.random(labels.shape) < 0.9)
            evidence = torch.from_numpy(
                np.concatenate(
                    [classes / classes.sum(axis=1, keepdims=True), labels.clip(0, 1)], axis=1
                ).astype(np.float32)
            )
            begin = float(ordinal * FRAMES_A_CHUNK)
            ref = ChunkRef(
                video=VideoId(f"v{number:05d}"),
                ordinal=ordinal,
                span=TimeSpan(start_s=begin, end_s=begin + FRAMES_A_CHUNK),
            )
            vectors = torch.cat([evidence, encoder._lengths(evidence)], dim=1)
            pts_s = begin + torch.arange(FRAMES_A_CHUNK, dtype=torch.float64)
            index.add([(ref, vectors, pts_s)])


_N_LABELS = 80


def compare(library: EncoderIndex, phrases: Iterable[str]) -> dict[str, float]:
    """Return what searches with the overview take and miss, against a pass over all stills."""
    assert isinstance(library.index, SegmentedIndex)
    whole = replace(library, index=library.index.without_codes())
    cpu_s: dict[str, list[float]] = {"all": [], "overview": []}
    same_best, of_ten, of_all, worse, same_claim = [], [], [], [], []
    for phrase in phrases:
        results = {}
        for name, searched in (("all", whole), ("overview", library)):
            started = time.process_time()
            results[name] = search_stills(searched, phrase, scope=None, top=TOP)
            cpu_s[name].append(time.process_time() - started)
        best, quick = results["all"], results["overview"]
        if not best or not quick:
            continue
        peaks = {(moment.video, moment.peak_s) for moment in quick}
        kept = [(moment.video, moment.peak_s) in peaks for moment in best]
        same_best.append((best[0].video, best[0].peak_s) == (quick[0].video, quick[0].peak_s))
        of_ten.append(statistics.mean(kept[:10]))
        of_all.append(statistics.mean(kept))
        worse.append(best[0].relevance - quick[0].relevance)
        same_claim.append(any(m.is_claimed for m in best) == any(m.is_claimed for m in quick))
    return {
        "indexed_stills": library.index.n_vectors,
        "phrases": len(same_best),
        "all_ms": round(1000 * statistics.mean(cpu_s["all"])),
        "overview_ms": round(1000 * statistics.mean(cpu_s["overview"])),
        "same_best": round(statistics.mean(same_best), 3),
        "of_ten_best": round(statistics.mean(of_ten), 3),
        "of_forty_best": round(statistics.mean(of_all), 3),
        "best_worse_by_log_odds_at_most": round(max(worse), 3),
        "same_claim": round(statistics.mean(same_claim), 3),
    }


if __name__ == "__main__":
    main()
