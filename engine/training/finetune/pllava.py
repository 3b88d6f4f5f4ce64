"""PLLaVA's training: adapters and projector over pooled frames, and samples as sequences.

Source: arXiv:2404.16994 and upstream's scripts at 6f49fd2; the recipe states what differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.preprocess import prepare, resize
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.model import first_resize
from engine.models.pllava.net import PllavaNet, save_net
from engine.records import Turn
from engine.training.data.labelled_ids import LabelledIds
from engine.training.data.media import as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.lora import TRAINED_ALPHA, add_qv_adapters, remove_qv_adapters
from engine.training.finetune.stage_config import StageConfig
from engine.training.finetune.trainer import TrainableModel, tower_features

CHAT_MARK = "<|im_start|>"
FPS = 2.0
"""Of the frames that a clip's are chosen from; upstream chooses from all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Texts around the turns of a conversation in training."""

    user: str
    assistant: str
    end: str
    """Of a question and of an answer."""


VICUNA = Marks(user="USER:", assistant="ASSISTANT:", end="</s>")
"""Of the 7B and the 13B."""
YI = Marks(user=f"{CHAT_MARK}user\n", assistant=f"{CHAT_MARK}assistant\n", end="<|im_end|>\n")
"""Of the 34B."""


def marks_of(tokenizer: Tokenizer) -> Marks:
    """Return the marks that a size was trained with: Yi's have tokens of their own."""
    return VICUNA if tokenizer.id_of(CHAT_MARK) is None else YI


def trainable(net: PllavaNet, tokenizer: Tokenizer, *, rank: int) -> TrainableModel:
    """Return a net with new adapters as the model of the one stage."""
    root = named_parts(net, rank=rank)

    def save(folder: Path) -> None:
        remove_qv_adapters(net.decoder)
        adapters = root["adapters"]
        assert isinstance(adapters, nn.ModuleList)
        save_net(net, adapters, folder, variant=folder.parent.name)

    return TrainableModel(
        root=root,
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        label=lambda sample: [label_sample(net, tokenizer, sample)],
        save=save,
    )


def named_parts(net: PllavaNet, *, rank: int) -> nn.ModuleDict:
    """Return the net's parts by the names that stages use, with new adapters."""
    adapters = add_qv_adapters(net.decoder, rank=rank, alpha=TRAINED_ALPHA, seed=42)
    return nn.ModuleDict({"adapters": adapters, "projector": net.projector, "net": net})


def measurable(net: PllavaNet, tokenizer: Tokenizer) -> TrainableModel:
    """Return a net as it was loaded, to measure and not to save."""

    def refuse(folder: Path) -> None:
        raise AssertionError(f"nothing was learnt that belongs into {folder}")

    return TrainableModel(
        root=net,
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        label=lambda sample: [label_sample(net, tokenizer, sample)],
        save=refuse,
    )


def label_sample(net: PllavaNet, tokenizer: Tokenizer, sample: Sample) -> LabelledSequence:
    """Return a conversation as its size learnt it: answers and their ends are targets."""
    visual = visual_tokens(net, sample)
    ids, labels = write_conversation(tokenizer, sample.turns, n_visual=len(visual)).tensors()
    return LabelledSequence(ids=ids, labels=labels, visual=visual)


def write_conversation(
    tokenizer: Tokenizer, turns: Sequence[Turn], *, n_visual: int
) -> LabelledIds:
    """Return turns with their labels, behind the visual tokens of the first question."""
    marks = marks_of(tokenizer)
    text = LabelledIds()
    for number, turn in enumerate(turns):
        question = turn.question
        if number == 0:
            text.add_context(tokenizer.opened(marks.user))
            text.add_visual(n_visual)
            question = f"\n{question}"
        else:
            text.add_context(tokenizer.control(marks.user))
        text.add_context([*tokenizer.plain(question), *tokenizer.control(marks.end)])
        text.add_context(tokenizer.control(marks.assistant))
        text.add_target([*tokenizer.plain(turn.answer), *tokenizer.control(marks.end)])
    return text


def visual_tokens(net: PllavaNet, sample: Sample) -> Float[Tensor, "latent width"]:
    """Return pooled tokens of as many frames as a chunk holds; gradients reach the projector."""
    frames = [frame for path in sample.media for frame in read_frames(path, fps=FPS)]
    prepared = []
    for frame in spread(frames, net.config.chunk_frames):
        pixels = as_pixels(frame)
        height_px, width_px = pixels.shape[2:]
        small = resize(pixels, *first_resize(height_px, width_px, net.config.pixels.size_px))
        prepared.append(prepare(small, net.config.pixels))
    return _pooled(net, prepared)


def longest_visual(net: PllavaNet, stage: StageConfig) -> Float[Tensor, "latent width"]:
    """Return the pooled tokens of a full chunk, of frames without content."""
    side, weight = net.config.pixels.size_px, net.decoder.embed.weight
    return _pooled(net, [weight.new_empty(1, 3, side, side)] * net.config.chunk_frames)


def _pooled(net: PllavaNet, prepared: Sequence[Tensor]) -> Float[Tensor, "latent width"]:
    with torch.no_grad():
        features = tower_features(net.tower, prepared, net.config.select_layer)
    return net.pool(net.projector(features), net.compression_ratio)
