"""VideoLLaMA 2's training: how video and sound of a sample become a sequence with labels.

Source: arXiv:2406.07476v3 and upstream's scripts at c0bb03a and 8cedfbd; the recipe states what
differs.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.media.audio import SoundFrames, read_audio
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.models.layers.preprocess import prepare
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.weights import save
from engine.models.videollama2.beats import N_MELS, bank_rows
from engine.models.videollama2.checkpoint import KEY_MAP
from engine.models.videollama2.net import VideoLlama2Net
from engine.models.videollama2.prompts import LAYOUTS, Layout
from engine.records import TimeSpan
from engine.training.data.labelled_ids import LabelledIds
from engine.training.data.media import PICTURES, SOUNDS, as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.mixture import kind_of
from engine.training.finetune.stage_config import Kind, StageConfig
from engine.training.finetune.trainer import TrainableModel, tower_features

FPS = 2.0
MAX_TEXT_TOKENS = 2048
"""Counted by upstream before visual tokens take their places."""


def trainable(net: VideoLlama2Net, tokenizer: Tokenizer, stage: StageConfig) -> TrainableModel:
    """Return a net as the model of one of the stages."""
    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        label=lambda sample: [label_sample(net, tokenizer, sample, stage)],
        save=lambda folder: save(net, folder, KEY_MAP),
        kind=kind_with_sound if stage.name == "joint" else kind_of,
    )


def kind_with_sound(sample: Sample) -> Kind:
    """Return the kind as `kind_of` does; a video with a sound track is `audio_video`."""
    kind = kind_of(sample)
    has_track = kind == "video" and any(read_sound(path) is not None for path in sample.media)
    return "audio_video" if has_track else kind


def label_sample(
    net: VideoLlama2Net, tokenizer: Tokenizer, sample: Sample, stage: StageConfig
) -> LabelledSequence:
    """Return a conversation behind the video and audio tokens of its media.

    The first stage learns every word of bare captions; the others learn answers and their ends.
    """
    visual = media_tokens(net, sample, with_sound=stage.trains("audio_projector."))
    text = LabelledIds()
    if stage.name == "video_pretrain":
        caption = " ".join(f"{turn.question} {turn.answer}" for turn in sample.turns)
        text.add_visual(len(visual))
        text.add_target(tokenizer.plain(caption)[:MAX_TEXT_TOKENS])
    else:
        layout = LAYOUTS["qwen" if net.config.is_qwen else "mistral"]
        turns = _label_turns(
            tokenizer, layout, sample, has_questions=stage.name != "audio_pretrain"
        )
        text.add_context(tokenizer.control(layout.opening))
        text.add_visual(len(visual))
        text.extend(turns, MAX_TEXT_TOKENS)
    ids, labels = text.tensors()
    return LabelledSequence(ids=ids, labels=labels, visual=visual)


def _label_turns(
    tokenizer: Tokenizer, layout: Layout, sample: Sample, *, has_questions: bool
) -> LabelledIds:
    """Return the turns behind the media; without questions answers follow the tag alone."""
    text = LabelledIds()
    for number, turn in enumerate(sample.turns):
        text.add_context(tokenizer.control(layout.before_user if number else ""))
        # The tag stands before the line break of the first question.
        question = turn.question if number else f"\n{turn.question}"
        text.add_context(tokenizer.plain(question if has_questions else ""))
        text.add_context(tokenizer.control(layout.after_user + layout.before_reply))
        text.add_target([*tokenizer.plain(turn.answer), *tokenizer.control(layout.after_reply)])
    return text


def media_tokens(
    net: VideoLlama2Net, sample: Sample, *, with_sound: bool
) -> Float[Tensor, "visual width"]:
    """Return video tokens, each video's audio tokens behind them where sound is wanted."""
    tokens = []
    for path in sample.media:
        if path.suffix.lower() not in SOUNDS:
            tokens.append(_video_tokens(net, path))
        samples = read_sound(path) if with_sound else None
        if samples is not None:
            tokens.append(net.hear(samples))
    width = net.config.decoder.width
    return torch.cat(tokens) if tokens else net.decoder.embed.weight.new_zeros(0, width)


def _video_tokens(net: VideoLlama2Net, path: Path) -> Float[Tensor, "visual width"]:
    """Return the tokens of one chunk of a video's frames; gradients reach the connector."""
    prepared = [
        prepare(as_pixels(frame), net.config.pixels)
        for frame in spread(read_frames(path, fps=FPS), net.config.chunk_frames)
    ]
    return _compressed(net, prepared)


def longest_visual(net: VideoLlama2Net, stage: StageConfig) -> Float[Tensor, "visual width"]:
    """Return the tokens of a full chunk and a full window of sound, of what the stage learns from.

    Frames and sound have no content.
    """
    kinds, parts = set(stage.mixture), []
    weight = net.decoder.embed.weight
    if kinds - {"text", "audio"}:
        side = net.config.pixels.size_px
        parts.append(
            _compressed(net, [weight.new_empty(1, 3, side, side)] * net.config.chunk_frames)
        )
    if kinds & {"audio", "audio_video"}:
        hearing = net.config.hearing
        assert hearing is not None
        rows = bank_rows(hearing.window_samples)
        parts.append(net.tokens_of(torch.empty(rows, N_MELS)))
    return torch.cat(parts)


def _compressed(net: VideoLlama2Net, prepared: Sequence[Tensor]) -> Float[Tensor, "visual width"]:
    with torch.no_grad():
        features = tower_features(net.tower, prepared, net.config.select_layer)
    return net.compress(net.connector.project_frames(features))


@lru_cache(maxsize=64)
def read_sound(path: Path) -> Float32[Tensor, " sample"] | None:
    """Read the sound of a file at 16 kHz; `None` of a picture, or of a video without a track."""
    if path.suffix.lower() in PICTURES:
        return None
    sampling, limits = SamplingConfig(), MediaLimits()
    reader: SoundFrames | FrameReader
    if path.suffix.lower() in SOUNDS:
        reader = SoundFrames(str(path), sampling, limits=limits)
    else:
        reader = FrameReader(str(path), sampling, limits=limits)
    with reader:
        duration_s = reader.info.duration_s
    if not duration_s:
        return None
    sound = read_audio(str(path), TimeSpan(start_s=0.0, end_s=duration_s), limits=limits)
    return None if sound is None else torch.from_numpy(sound)
