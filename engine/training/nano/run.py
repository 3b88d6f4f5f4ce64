"""Nano from nothing to a checkpoint folder: vocabulary, bank, tower, features, reader, export.

Each step leaves a file and is skipped when the file is there, so a killed run goes on; the two
trained stages resume by their own checkpoints.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from transformers import CLIPModel

from engine.errors import NotFoundError
from engine.files import atomic_write
from engine.models.layers.decoder import DecoderConfig
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.chunks import Facts
from engine.training.nano.clip_stage import BatchSizes, Pictures, TowerSizes, TowerStage, as_input
from engine.training.nano.decoder_stage import QUESTIONS, Features, ReaderStage
from engine.training.nano.export import export
from engine.training.nano.frame_bank import SIDE_PX, draw_cards, draw_clips, draw_junk, read_footage
from engine.training.nano.questions import POLISH_WEIGHTS
from engine.training.nano.stories import draw_reels
from engine.training.nano.vocabulary import train_vocabulary

_FEATURE_BATCH: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoPlan:
    """Everything that decides what a run ends with."""

    tower_loop: LoopConfig
    reader_loop: LoopConfig
    polish_loop: LoopConfig | None = None
    """A second schedule of the reader, with questions that the first one left weak."""
    tower: TowerSizes = field(default_factory=TowerSizes)
    tower_batch: BatchSizes = field(default_factory=BatchSizes)
    width: int = 192
    mlp_width: int = 512
    n_layers: int = 4
    n_chunks: int = 64
    """Chunks put together in a step of the reader."""
    readers: Mapping[int, tuple[int, int]] = field(default_factory=lambda: QUESTIONS)
    """Chunks recalled by a reader to readers in a step and questions each."""
    n_clips: int = 9000
    n_reels: int = 800
    """Stories of 64 frames, which counting and order are learnt from."""
    n_cards: int = 20_000
    n_real: int = 2500
    n_junk: int = 6000
    n_test: int = 600
    footage: Path | None = None
    """Folder of real recordings to be used as background; `None` uses junk alone."""
    footage_names: tuple[str, ...] = ()
    seed: int = 0


def run_nano(plan: NanoPlan, output: Path, *, resume: bool) -> Iterator[Progress]:
    """Do all that is not done yet; the last line names the model's folder.

    Args:
        plan: Must be that of the interrupted run when resuming.
        output: Gets `bank/`, `tower/`, `reader/`, `model/`.
        resume: Keep what is there; otherwise everything but the bank is made anew.
    """
    output.mkdir(parents=True, exist_ok=True)
    train_features = output / "bank" / "train_features.safetensors"
    test_features = output / "bank" / "test_features.safetensors"
    if not resume:
        # Those of an earlier tower would be taken for this one's.
        train_features.unlink(missing_ok=True)
        test_features.unlink(missing_ok=True)
    tokenizer = _vocabulary(output / "vocabulary.json")
    yield Progress(stage="bank", step=0, n_steps=1, note="drawing frames")
    train = _bank(output / "bank" / "train", plan, held_out=False)
    test = _bank(output / "bank" / "test", plan, held_out=True)
    tower = TowerStage(plan.tower, _pictures(train), _pictures(test), tokenizer,
                       batch=plan.tower_batch, seed=plan.seed)  # fmt: skip
    yield from run_stage(tower, plan.tower_loop, output / "tower", resume=resume)
    yield Progress(stage="features", step=0, n_steps=1, note="running the tower over the bank")
    reader = ReaderStage(
        decoder_config(plan, tokenizer),
        _seen(tower.clip, train, train_features),
        _seen(tower.clip, test, test_features),
        tokenizer,
        n_chunks=plan.n_chunks,
        seed=plan.seed,
    )
    reader.readers = plan.readers
    yield from run_stage(reader, plan.reader_loop, output / "reader", resume=resume)
    if plan.polish_loop is not None:
        reader.polish(POLISH_WEIGHTS)
        yield from run_stage(reader, plan.polish_loop, output / "polish", resume=resume)
    export(tower.clip, reader.module, tokenizer, output / "model", variant=output.name)
    yield Progress(stage="export", step=1, n_steps=1, note=str(output / "model"))


def open_seen(run: Path, part: Literal["train", "test"]) -> Features:
    """What the reader of a run learnt from, or was measured on; features are mapped, not read.

    Raises:
        NotFoundError: The run has not come that far.
    """
    folder, features = run / "bank" / part, run / "bank" / f"{part}_features.safetensors"
    if not features.is_file():
        raise NotFoundError(
            f"{run} holds no {features.name}",
            hint="name the folder of a run of the recipe nano that has trained its tower",
        )
    return _held(_read_bank(folder), features)


@dataclass(frozen=True, slots=True)
class _Bank:
    clips: UInt8[np.ndarray, "clip frame side side 3"]
    clip_facts: np.ndarray[Any, np.dtype[np.int16]]
    events: np.ndarray[Any, np.dtype[np.int16]]
    cards: UInt8[np.ndarray, "card take side side 3"]
    card_facts: np.ndarray[Any, np.dtype[np.int16]]
    real: UInt8[np.ndarray, "real frame side side 3"]
    junk: UInt8[np.ndarray, "junk side side 3"]
    reels: UInt8[np.ndarray, "reel second side side 3"]
    reel_facts: np.ndarray[Any, np.dtype[np.int16]]
    reel_events: np.ndarray[Any, np.dtype[np.int16]]


def _vocabulary(path: Path) -> Tokenizer:
    if not path.is_file():
        with atomic_write(path, single_writer=True) as temporary:
            train_vocabulary().save(str(temporary))
    return Tokenizer.from_file(str(path))


def _bank(folder: Path, plan: NanoPlan, *, held_out: bool) -> _Bank:
    """Draw what is missing of a bank, and map it."""
    folder.mkdir(parents=True, exist_ok=True)
    share = min(1.0, plan.n_test / plan.n_clips) if held_out else 1.0
    seed = 2 * plan.seed + held_out

    def count(n: int, least: int) -> int:
        return max(least, round(n * share))

    def cards() -> tuple[np.ndarray, ...]:
        backs = list(np.load(folder / "real.npy").reshape(-1, SIDE_PX, SIDE_PX, 3)[::7])
        n = max(16, round(plan.n_cards * (2 * share if held_out else 1)))
        drawn, facts, sways = draw_cards(seed, n, held_out=held_out, real=backs)
        upright_first = np.argsort(sways)
        return drawn[upright_first], facts[upright_first]

    def once(names: str, draw: Callable[[], tuple[np.ndarray, ...]]) -> None:
        paths = [folder / f"{name}.npy" for name in names.split()]
        if not all(path.is_file() for path in paths):
            for path, part in zip(paths, draw(), strict=True):
                # Given a name, numpy would put its own ending behind it.
                with atomic_write(path, single_writer=True) as beside, beside.open("wb") as file:
                    np.save(file, part)

    once("real", lambda: (_footage(plan, seed, count(plan.n_real, 8), held_out=held_out),))
    once("clips clip_facts events", lambda: draw_clips(seed, count(plan.n_clips, 8)))
    once("cards card_facts", cards)
    once("junk", lambda: (draw_junk(seed, count(plan.n_junk, 16)),))
    once("reels reel_facts reel_events",
         lambda: draw_reels(seed, count(plan.n_reels, 4), held_out=held_out))  # fmt: skip
    return _read_bank(folder)


def _read_bank(folder: Path) -> _Bank:
    return _Bank(**{part.name: _mapped(folder, part.name) for part in fields(_Bank)})


def _mapped(folder: Path, name: str) -> np.ndarray:
    found: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="c")
    return found


def _footage(
    plan: NanoPlan, seed: int, n: int, *, held_out: bool
) -> UInt8[np.ndarray, "item frame side side 3"]:
    """Real chunks of the training recordings; junk in chunks where there are none."""
    if plan.footage is None:
        junk = draw_junk(1000 + seed, 8 * n)
        return junk.reshape(n, 8, SIDE_PX, SIDE_PX, 3)
    known = {path.name for path in plan.footage.iterdir() if path.suffix in (".mp4", ".avi")}
    names = sorted(known - set(plan.footage_names)) if held_out else list(plan.footage_names)
    return read_footage(plan.footage, names, seed, n)


def _pictures(bank: _Bank) -> Pictures:
    real = bank.real.reshape(-1, SIDE_PX, SIDE_PX, 3)
    return Pictures(
        cards=bank.cards,
        card_facts=bank.card_facts,
        frames=bank.clips.reshape(-1, SIDE_PX, SIDE_PX, 3),
        frame_facts=bank.clip_facts.reshape(-1, bank.clip_facts.shape[-1]),
        other=np.concatenate([real, bank.junk]),
    )


def decoder_config(plan: NanoPlan, tokenizer: Tokenizer) -> DecoderConfig:
    """The reader's decoder."""
    return DecoderConfig(
        vocab_size=tokenizer.get_vocab_size(),
        width=plan.width,
        mlp_width=plan.mlp_width,
        n_layers=plan.n_layers,
        n_heads=4,
        n_kv_heads=2,
        head_dim=plan.width // 4,
        rope_theta=1e6,
        qkv_bias=True,
        is_tied=True,
        has_vst=True,
    )


def _seen(clip: CLIPModel, bank: _Bank, path: Path) -> Features:
    """The bank behind the tower; 16 bit, kept beside the bank."""
    if not path.is_file():
        reels = bank.reels.reshape(-1, *bank.clips.shape[1:])
        clips = np.concatenate([bank.clips, bank.real, reels])
        features = {"clips": _features(clip, clips), "cards": _features(clip, bank.cards)}
        with atomic_write(path, single_writer=True) as temporary:
            save_file(features, temporary)
    return _held(bank, path)


def _held(bank: _Bank, path: Path) -> Features:
    held = load_file(path)
    facts = Facts(
        clips=np.asarray(bank.clip_facts),
        events=np.asarray(bank.events),
        cards=np.asarray(bank.card_facts),
        n_real=len(bank.real),
        reels=np.asarray(bank.reel_facts),
        reel_events=np.asarray(bank.reel_events),
    )
    return Features(clips=held["clips"], cards=held["cards"], facts=facts)


@torch.no_grad()
def _features(
    clip: CLIPModel, frames: UInt8[np.ndarray, "item at side side 3"]
) -> Float[Tensor, "item at patch width"]:
    flat = frames.reshape(-1, *frames.shape[2:])
    parts = []
    clip.eval()
    for start in range(0, len(flat), _FEATURE_BATCH):
        pixels = as_input(np.ascontiguousarray(flat[start : start + _FEATURE_BATCH]))
        with torch.autocast("cpu", torch.bfloat16):
            out = clip.vision_model(pixel_values=pixels, output_hidden_states=True)
        parts.append(out.hidden_states[-2][:, 1:].bfloat16())
    joined = torch.cat(parts)
    return joined.view(*frames.shape[:2], *joined.shape[1:]).contiguous()
