"""Nano from nothing to a checkpoint folder: vocabulary, frame bank, CLIP pair, features, decoder.

Each step leaves a file and is skipped when the file is there, so a killed run goes on; the trained
stages resume by their own checkpoints.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
from engine.models.layers.decoder_config import DecoderConfig
from engine.training.loop import LoopConfig, Progress, run_stage
from engine.training.nano.chunks import Facts
from engine.training.nano.clip_stage import (
    BatchSizes,
    ClipSizes,
    ClipStage,
    LabelledFrames,
    normalise_pixels,
)
from engine.training.nano.curriculum import CONTEXTS
from engine.training.nano.decoder_stage import DecoderStage, Features
from engine.training.nano.export import export
from engine.training.nano.frame_bank import (
    CHUNK_FRAMES,
    SIDE_PX,
    draw_cards,
    draw_clips,
    draw_distractors,
    read_footage,
)
from engine.training.nano.questions import POLISH_WEIGHTS
from engine.training.nano.stories import draw_stories
from engine.training.nano.vocabulary import train_vocabulary

# Names on disk are older than those of the code: a run begun before must find its files.
BANK, CLIP, DECODER, POLISH = "bank", "tower", "reader", "polish"

_FEATURE_BATCH: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class BankPlan:
    """Amounts drawn into the frame bank; the test bank has `n_test` clips, the rest in step."""

    n_clips: int = 9000
    n_stories: int = 800
    """Stories of 64 frames, which counting and order are learnt from."""
    n_cards: int = 20_000
    n_real: int = 2500
    n_distractors: int = 6000
    n_test: int = 600
    footage: Path | None = None
    """Folder of real recordings to be used as background; `None` uses distractors alone."""
    footage_names: tuple[str, ...] = ()
    """Recordings to train on; every other one in the folder is held out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlan:
    """The stage that trains the CLIP pair."""

    loop: LoopConfig
    sizes: ClipSizes = field(default_factory=ClipSizes)
    batch: BatchSizes = field(default_factory=BatchSizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPlan:
    """The stage that trains projector and decoder."""

    loop: LoopConfig
    polish_loop: LoopConfig | None = None
    """A second schedule, with questions that the first one left weak."""
    width: int = 192
    mlp_width: int = 512
    n_layers: int = 4
    n_chunks: int = 64
    """Chunks put together in a step."""
    contexts: Mapping[int, tuple[int, int]] = field(default_factory=lambda: CONTEXTS)
    """Chunks recalled in a context, to contexts in a step and questions each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NanoPlan:
    """Everything that decides what a run ends with."""

    clip: ClipPlan
    decoder: DecoderPlan
    bank: BankPlan = field(default_factory=BankPlan)
    seed: int = 0


def run_nano(plan: NanoPlan, output: Path, *, resume: bool) -> Iterator[Progress]:
    """Do all that is not done yet; the last line names the model's folder.

    Args:
        plan: Must be that of the interrupted run when resuming.
        output: Gets `bank/`, `tower/`, `reader/`, `model/`.
        resume: Keep what is there; otherwise everything but the frame bank is made again.
    """
    output.mkdir(parents=True, exist_ok=True)
    train_features = output / BANK / "train_features.safetensors"
    test_features = output / BANK / "test_features.safetensors"
    if not resume:
        # Those of an earlier vision tower would be taken for this one's.
        train_features.unlink(missing_ok=True)
        test_features.unlink(missing_ok=True)
    tokenizer = open_vocabulary(output / "vocabulary.json")
    yield Progress(stage="bank", step=0, n_steps=1, note="drawing frames")
    train = build_bank(output / BANK / "train", plan.bank, plan.seed, held_out=False)
    test = build_bank(output / BANK / "test", plan.bank, plan.seed, held_out=True)
    clip_stage = ClipStage(plan.clip.sizes, labelled_frames(train), labelled_frames(test),
                           tokenizer, batch=plan.clip.batch, seed=plan.seed)  # fmt: skip
    yield from run_stage(clip_stage, plan.clip.loop, output / CLIP, resume=resume)
    yield Progress(stage="features", step=0, n_steps=1, note="running the tower over the bank")
    decoder_stage = DecoderStage(
        decoder_config(plan.decoder, tokenizer),
        bank_features(clip_stage.clip, train, train_features),
        bank_features(clip_stage.clip, test, test_features),
        tokenizer,
        n_chunks=plan.decoder.n_chunks,
        seed=plan.seed,
    )
    decoder_stage.contexts = plan.decoder.contexts
    yield from run_stage(decoder_stage, plan.decoder.loop, output / DECODER, resume=resume)
    if plan.decoder.polish_loop is not None:
        decoder_stage.polish(POLISH_WEIGHTS)
        yield from run_stage(
            decoder_stage, plan.decoder.polish_loop, output / POLISH, resume=resume
        )
    model = output / "model"
    export(clip_stage.clip, decoder_stage.module, tokenizer, model, variant=output.name)
    yield Progress(stage="export", step=1, n_steps=1, note=str(model))


def open_features(run: Path, part: Literal["train", "test"]) -> Features:
    """Open what the decoder of a run is trained or measured on; frames are mapped, not read.

    Raises:
        NotFoundError: The run has not come that far.
    """
    folder, features = run / BANK / part, run / BANK / f"{part}_features.safetensors"
    if not features.is_file():
        raise NotFoundError(
            f"{run} holds no {features.name}",
            hint="name the folder of a run of the recipe nano that has trained its tower",
        )
    return _load_features(_open_bank(folder), features)


@dataclass(frozen=True, slots=True)
class FrameBank:
    """The arrays of a bank folder."""

    clips: UInt8[np.ndarray, "clip frame side side 3"]
    clip_facts: np.ndarray[Any, np.dtype[np.int16]]
    events: np.ndarray[Any, np.dtype[np.int16]]
    cards: UInt8[np.ndarray, "card take side side 3"]
    card_facts: np.ndarray[Any, np.dtype[np.int16]]
    real: UInt8[np.ndarray, "real frame side side 3"]
    distractors: UInt8[np.ndarray, "distractor side side 3"]
    stories: UInt8[np.ndarray, "story second side side 3"]
    story_facts: np.ndarray[Any, np.dtype[np.int16]]
    story_events: np.ndarray[Any, np.dtype[np.int16]]


def open_vocabulary(path: Path) -> Tokenizer:
    """Return the tokenizer of a run, trained where there is none yet."""
    if not path.is_file():
        with atomic_write(path, single_writer=True) as temporary:
            train_vocabulary().save(str(temporary))
    return Tokenizer.from_file(str(path))


def build_bank(folder: Path, plan: BankPlan, seed: int, *, held_out: bool) -> FrameBank:
    """Draw what is missing of a bank, and map it.

    Args:
        folder: Of the arrays, one file each.
        plan: Amounts.
        seed: Of the run.
        held_out: Whether it is the test bank, of other draws and other footage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    share = min(1.0, plan.n_test / plan.n_clips) if held_out else 1.0
    seed = 2 * seed + held_out

    def count(n: int, least: int) -> int:
        return max(least, round(n * share))

    def cards() -> tuple[np.ndarray, ...]:
        backgrounds = list(np.load(folder / "real.npy").reshape(-1, SIDE_PX, SIDE_PX, 3)[::7])
        n = max(16, round(plan.n_cards * (2 * share if held_out else 1)))
        drawn, facts, sways = draw_cards(seed, n, held_out=held_out, real=backgrounds)
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
    once("junk", lambda: (draw_distractors(seed, count(plan.n_distractors, 16)),))
    once("reels reel_facts reel_events",
         lambda: draw_stories(seed, count(plan.n_stories, 4), held_out=held_out))  # fmt: skip
    return _open_bank(folder)


def _open_bank(folder: Path) -> FrameBank:
    def mapped(name: str) -> np.ndarray:
        array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="c")
        return array

    return FrameBank(
        clips=mapped("clips"),
        clip_facts=mapped("clip_facts"),
        events=mapped("events"),
        cards=mapped("cards"),
        card_facts=mapped("card_facts"),
        real=mapped("real"),
        distractors=mapped("junk"),
        stories=mapped("reels"),
        story_facts=mapped("reel_facts"),
        story_events=mapped("reel_events"),
    )


def _footage(
    plan: BankPlan, seed: int, n: int, *, held_out: bool
) -> UInt8[np.ndarray, "item frame side side 3"]:
    """Read chunks of the real recordings; distractors in chunks where there are none."""
    if plan.footage is None:
        drawn = draw_distractors(1000 + seed, CHUNK_FRAMES * n)
        return drawn.reshape(n, CHUNK_FRAMES, SIDE_PX, SIDE_PX, 3)
    known = {path.name for path in plan.footage.iterdir() if path.suffix in (".mp4", ".avi")}
    names = sorted(known - set(plan.footage_names)) if held_out else list(plan.footage_names)
    return read_footage(plan.footage, names, seed, n)


def labelled_frames(bank: FrameBank) -> LabelledFrames:
    """Return what a vision tower learns from, of a bank."""
    real = bank.real.reshape(-1, SIDE_PX, SIDE_PX, 3)
    return LabelledFrames(
        cards=bank.cards,
        card_facts=bank.card_facts,
        frames=bank.clips.reshape(-1, SIDE_PX, SIDE_PX, 3),
        frame_facts=bank.clip_facts.reshape(-1, bank.clip_facts.shape[-1]),
        other=np.concatenate([real, bank.distractors]),
    )


def decoder_config(plan: DecoderPlan, tokenizer: Tokenizer) -> DecoderConfig:
    """Return the decoder's sizes: Qwen2's layout, small."""
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


def bank_features(clip: CLIPModel, bank: FrameBank, path: Path) -> Features:
    """Run the vision tower over the bank, once; the features are kept in 16 bit beside it."""
    if not path.is_file():
        stories = bank.stories.reshape(-1, *bank.clips.shape[1:])
        clips = np.concatenate([bank.clips, bank.real, stories])
        features = {"clips": _features(clip, clips), "cards": _features(clip, bank.cards)}
        with atomic_write(path, single_writer=True) as temporary:
            save_file(features, temporary)
    return _load_features(bank, path)


def _load_features(bank: FrameBank, path: Path) -> Features:
    tensors = load_file(path)
    facts = Facts(
        clips=np.asarray(bank.clip_facts),
        events=np.asarray(bank.events),
        cards=np.asarray(bank.card_facts),
        n_real=len(bank.real),
        stories=np.asarray(bank.story_facts),
        story_events=np.asarray(bank.story_events),
    )
    return Features(clips=tensors["clips"], cards=tensors["cards"], facts=facts)


@torch.no_grad()
def _features(
    clip: CLIPModel, frames: UInt8[np.ndarray, "item frame side side 3"]
) -> Float[Tensor, "item frame patch width"]:
    flat = frames.reshape(-1, *frames.shape[2:])
    parts = []
    clip.eval()
    for start in range(0, len(flat), _FEATURE_BATCH):
        pixels = normalise_pixels(np.ascontiguousarray(flat[start : start + _FEATURE_BATCH]))
        with torch.autocast("cpu", torch.bfloat16):
            out = clip.vision_model(pixel_values=pixels, output_hidden_states=True)
        parts.append(out.hidden_states[-2][:, 1:].bfloat16())
    joined = torch.cat(parts)
    return joined.view(*frames.shape[:2], *joined.shape[1:]).contiguous()
