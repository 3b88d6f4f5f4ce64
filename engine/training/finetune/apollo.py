"""Apollo's three stages, and how its samples become sequences.

Source: arXiv:2412.10360, table 7 and appendix C; the rule of its data study in `check_mixture`.
The paper states neither betas, weight decay nor seed, and its table prints half the tokens of the
released checkpoints. Not run at scale here: tests take a few steps of every stage on the tiny
variant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from engine.media.frame import Frame
from engine.models.apollo.checkpoint import save_net
from engine.models.apollo.net import ApolloNet
from engine.models.apollo.prompts import TEMPLATE, introduce
from engine.models.layers.tokenizer import Tokenizer
from engine.records import Turn
from engine.tensors import FrameBatch
from engine.training.data.labelled_ids import LabelledIds
from engine.training.data.media import as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.mixture import kind_of
from engine.training.finetune.stage_config import Kind, StageConfig
from engine.training.finetune.trainer import TrainableModel

FPS = 2.0
TOWERS = ("vision.siglip.", "vision.internvideo2.")
CONNECTOR = "vision.connector."
DECODER = "decoder."
DECODER_RATES = {"1_5b": 5e-5, "3b": 2e-5, "7b": 1e-5}
"""By size of the decoder; the paper's, falling about as its root."""
TEXT_SHARES = (0.10, 0.15)
"""Where the decoder learns: 15 % was best of the mixtures tried; 7 % and 25 % hurt."""
CLIP_S = 2.0


def stages(variant: str) -> tuple[StageConfig, StageConfig, StageConfig]:
    """Return the stages of a released size, in order."""
    if variant not in DECODER_RATES:
        raise ValueError(f"variant must be one of {', '.join(DECODER_RATES)}, not {variant!r}")
    configs = (
        StageConfig(
            name="align",
            rates={CONNECTOR: 1e-4},
            mixture={"image": 0.5, "video": 0.5},
            max_clips=25,
        ),
        StageConfig(
            name="vision_pretraining",
            rates={**dict.fromkeys(TOWERS, 5e-6), CONNECTOR: 1e-4},
            mixture={"video": 1.0},
            max_clips=25,
        ),
        StageConfig(
            name="fine_tuning",
            rates={CONNECTOR: 1e-4, DECODER: DECODER_RATES[variant]},
            # Figure 7; which number belongs to which kind is our reading.
            mixture={"video": 0.36, "image": 0.33, "multi_image": 0.166, "text": 0.144},
            max_clips=150 if variant == "7b" else 200,
        ),
    )
    for stage in configs:
        check_mixture(stage)
    return configs


def check_mixture(stage: StageConfig) -> None:
    """Check a stage against what the paper's data study found.

    Raises:
        ValueError: Towers learn from anything but video or together with the decoder, or the
            decoder learns from too little or too much text, or from less video than images.
    """
    shares = {kind: stage.mixture.get(kind, 0.0) for kind in ("text", "image", "video")}
    if any(stage.trains(tower) for tower in TOWERS):
        if stage.trains(DECODER):
            raise ValueError(f"{stage.name!r} trains towers and decoder together")
        if shares["video"] < 1:
            raise ValueError(f"{stage.name!r} trains towers on more than video")
    if stage.trains(DECODER):
        low, high = TEXT_SHARES
        if not low <= shares["text"] <= high:
            raise ValueError(f"text must be {low:.0%} to {high:.0%}, not {shares['text']:.1%}")
        if shares["video"] < shares["image"]:
            raise ValueError(f"{stage.name!r} has less video than images")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipTurn:
    """A question about some clips, and the answer to learn."""

    kind: Kind
    clips: tuple[FrameBatch, ...]
    """Each the frames of one clip; a picture is a clip that repeats it."""
    duration_s: float
    question: str
    answer: str
    history: tuple[Turn, ...] = ()
    """Turns before, oldest first; read, not learnt."""


def trainable(net: ApolloNet, tokenizer: Tokenizer, stage: StageConfig) -> TrainableModel:
    """Return a net as the model of one of the stages."""
    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=net.config.max_positions,
        label=lambda sample: label_sample(net, tokenizer, sample, stage),
        save=lambda folder: save_net(net, folder, variant=folder.parent.name),
    )


def label_sample(
    net: ApolloNet, tokenizer: Tokenizer, sample: Sample, stage: StageConfig
) -> list[LabelledSequence]:
    """Return one sequence for every turn; only its own answer is learnt."""
    frames = [frame for path in sample.media for frame in read_frames(path, fps=FPS)]
    kind = kind_of(sample)
    clip_frames = net.config.vision.grid[0]
    clips = tuple(cut_clips(frames, clip_frames if kind == "video" else 1, clip_frames))
    duration_s = frames[-1].pts_s + 1 / FPS if frames else 0.0
    turns = [
        ClipTurn(
            kind=kind,
            clips=clips,
            duration_s=duration_s,
            question=turn.question,
            answer=turn.answer,
            history=sample.turns[:number],
        )
        for number, turn in enumerate(sample.turns)
    ]
    return [label_turn(net, tokenizer, turn, stage) for turn in turns]


def label_turn(
    net: ApolloNet, tokenizer: Tokenizer, turn: ClipTurn, stage: StageConfig
) -> LabelledSequence:
    """Return a turn behind the visual tokens of its clips; gradients reach the towers."""
    clips = spread(turn.clips, stage.max_clips)
    ids, labels = label_text(tokenizer, turn, clips, net.config.vision.connector.n_queries)
    return LabelledSequence(ids=ids, labels=labels, visual=_visual_tokens(net, clips))


def label_text(
    tokenizer: Tokenizer, turn: ClipTurn, clips: Sequence[FrameBatch], n_queries: int
) -> tuple[Int64[Tensor, " token"], Int64[Tensor, " token"]]:
    """Return ids with a placeholder for every visual token, and labels on the answer alone."""
    text = LabelledIds()
    text.add_context(TEMPLATE.before_video(tokenizer))
    for introduction in _introductions(turn, clips):
        text.add_context(tokenizer.control(introduction))
        text.add_visual(n_queries)
    opening = "\n\n" if clips else ""
    text.add_context(TEMPLATE.after_video(tokenizer, turn.question, turn.history, opening=opening))
    text.add_target([*tokenizer.plain(turn.answer), *tokenizer.control(TEMPLATE.end)])
    return text.tensors()


def cut_clips(
    frames: Sequence[Frame], frames_per_clip: int, clip_frames: int
) -> Iterator[FrameBatch]:
    """Cut frames into clips, the last frame of each repeated up to `clip_frames`.

    Args:
        frames: Of one sample.
        frames_per_clip: Frames of its own that a clip takes: 1 for a picture.
        clip_frames: Frames that the towers take.
    """
    for start in range(0, len(frames), frames_per_clip):
        own = frames[start : start + frames_per_clip]
        filled = [*own, *[own[-1]] * (clip_frames - len(own))]
        yield FrameBatch(
            pixels=torch.cat([as_pixels(frame) for frame in filled]),
            pts_s=torch.tensor([frame.pts_s for frame in filled], dtype=torch.float64),
        )


def _introductions(turn: ClipTurn, clips: Sequence[FrameBatch]) -> Sequence[str]:
    """Return the words before each clip: a video's times; none before a picture, as upstream's are
    unknown."""
    if turn.kind != "video":
        return [""] * len(clips)
    spans = [(float(clip.pts_s[0]), float(clip.pts_s[-1])) for clip in clips]
    return introduce(spans, clip_s=CLIP_S, duration_s=turn.duration_s)


def _visual_tokens(net: ApolloNet, clips: Sequence[FrameBatch]) -> Float[Tensor, "visual width"]:
    if not clips:
        return net.decoder.embed.weight.new_zeros(0, net.config.decoder.width)
    return _tokens_of(net, [net.vision.prepare(clip.pixels) for clip in clips])


def longest_visual(net: ApolloNet, stage: StageConfig) -> Float[Tensor, "visual width"]:
    """Return the visual tokens of as many clips as a sample may give, of pixels without content."""
    vision, weight = net.vision.config, net.vision.internvideo2.positions
    shape = (1, vision.grid[0], 3)
    sides = (vision.siglip.vision["image_size"], vision.internvideo2.image_px)
    prepared = [
        tuple(weight.new_empty(*shape, side, side) for side in sides)
        for _ in range(stage.max_clips)
    ]
    return _tokens_of(net, prepared)


def _tokens_of(
    net: ApolloNet, prepared: Sequence[tuple[Tensor, ...]]
) -> Float[Tensor, "visual width"]:
    still, moving = (torch.cat(part) for part in zip(*prepared, strict=True))
    return net.vision.clip_tokens(still, moving).flatten(0, 1)
