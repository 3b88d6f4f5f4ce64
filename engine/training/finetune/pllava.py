"""PLLaVA's training: adapters and projector over pooled frames, and samples as sequences.

Source: arXiv:2404.16994 and upstream's scripts at 6f49fd2; the recipe states what differs.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from engine.errors import InputRefusedError
from engine.models.layers.preprocess import prepare, resize
from engine.models.layers.tokenizer import Tokenizer
from engine.models.pllava.model import first_resize
from engine.models.pllava.net import PllavaNet, save_net
from engine.training.data.labelled_ids import LabelledIds
from engine.training.data.media import as_pixels, read_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import LabelledSequence
from engine.training.finetune.lora import TRAINED_ALPHA, add_qv_adapters, remove_qv_adapters
from engine.training.finetune.trainer import TrainableModel, tower_features

FPS = 2.0
"""Of the frames that a clip's are chosen from; upstream chooses from all of them."""
END = "</s>"


def trainable(net: PllavaNet, tokenizer: Tokenizer, *, rank: int) -> TrainableModel:
    """Return a net with new adapters as the model of the one stage.

    Raises:
        InputRefusedError: A size whose training text is not known: those on Yi.
    """
    if tokenizer.id_of("<|im_start|>") is not None:
        raise InputRefusedError("PLLaVA's training text for Yi is not known; use 7B or 13B")
    adapters = add_qv_adapters(net.decoder, rank=rank, alpha=TRAINED_ALPHA, seed=42)

    def save(folder: Path) -> None:
        remove_qv_adapters(net.decoder)
        save_net(net, adapters, folder, variant=folder.parent.name)

    return TrainableModel(
        root=nn.ModuleDict({"adapters": adapters, "projector": net.projector, "net": net}),
        decoder=net.decoder,
        max_tokens=net.config.decoder.max_positions,
        label=lambda sample: [label_sample(net, tokenizer, sample)],
        save=save,
    )


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
    """Return a conversation as the 7B and 13B learnt it: answers and their ends are targets."""
    visual = visual_tokens(net, sample)
    text = LabelledIds()
    text.add_context(tokenizer.opened("USER:"))
    text.add_visual(len(visual))
    for number, turn in enumerate(sample.turns):
        text.add_context(tokenizer.control("USER:") if number else [])
        text.add_context([*tokenizer.plain(f"\n{turn.question}"), *tokenizer.control(END)])
        text.add_context(tokenizer.control("ASSISTANT:"))
        text.add_target([*tokenizer.plain(turn.answer), *tokenizer.control(END)])
    ids, labels = text.tensors()
    return LabelledSequence(ids=ids, labels=labels, visual=visual)


def visual_tokens(net: PllavaNet, sample: Sample) -> Float[Tensor, "latent width"]:
    """Return pooled tokens of as many frames as a chunk holds; gradients reach the projector."""
    frames = [frame for path in sample.media for frame in read_frames(path, fps=FPS)]
    prepared = []
    for frame in spread(frames, net.config.chunk_frames):
        pixels = as_pixels(frame)
        height_px, width_px = pixels.shape[2:]
        small = resize(pixels, *first_resize(height_px, width_px, net.config.pixels.size_px))
        prepared.append(prepare(small, net.config.pixels).to(net.decoder.embed.weight))
    with torch.no_grad():
        features = tower_features(net.tower, prepared, net.config.select_layer)
    return net.pool(net.projector(features), net.compression_ratio)
