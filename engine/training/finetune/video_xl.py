"""Video-XL's stages over people's own samples: what is seen, how it is folded, what is learnt.

    sample -> conversation -> tower (frozen, or learning) -> projector -> windows with VSTs
           -> one pass -> mean loss over the labelled tokens of the sequence, shifted once

Windows lie inside what is seen, so that the last step, the text, never gets summary tokens; the
ratio is drawn for every window. A stage without ratios runs the plain decoder. Parity: the loss
and its gradients agree with golden case 08.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.preprocess import prepare
from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import Tokenizer
from engine.models.video_xl.net import VideoXlNet
from engine.models.video_xl.parallel_forward import SequenceSpec, build_layout, parallel_forward
from engine.training.data import chat_labels
from engine.training.data.chat_labels import Media
from engine.training.data.media import as_pixels, iterate_frames, spread
from engine.training.data.samples import Sample
from engine.training.finetune.causal_loss import run_causal
from engine.training.finetune.stage_config import StageConfig

FPS = 1.0
"""Of the frames that a sample's are chosen from."""
KEPT_BYTES = 2 * 2**30
"""Features, or prepared frames where the tower learns, that are kept between steps."""
TOWER_BATCH = 32
"""Frames a pass of the tower."""
MEASURED = 64
"""Samples at most whose loss is measured at a checkpoint."""

RatioOf = Callable[[int], int]
"""The compression ratio of a window of so many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoXlStage(StageConfig):
    """A stage, and how it sees."""

    template: Literal["chat", "plain"] = "chat"
    ratios: tuple[int, ...]
    """One is drawn for every window; none for the plain decoder without summary tokens."""
    max_frames: int = 128
    """Of one sample; longer videos are thinned evenly."""
    gradient_checkpointing: bool = True
    """Whether layers are computed again in the backward pass, to save memory."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a sequence."""

    rows: Float[Tensor, "token width"]
    labels: Sequence[int] | None
    """Of words; `None` of what is seen."""


def draw_ratio(ratios: Sequence[int], n_tokens: int, random: np.random.Generator) -> int:
    """One of the ratios that divide a window; of all where none does, which then ends in a VST of
    its own."""
    fitting = [ratio for ratio in ratios if ratio <= n_tokens and n_tokens % ratio == 0]
    return int(random.choice(fitting or list(ratios)))


def sequence_loss(
    decoder: Decoder,
    parts: Sequence[Part],
    *,
    window: int,
    ratio_of: RatioOf | None,
    gradient_checkpointing: bool = False,
) -> Float[Tensor, ""]:
    """Next-token loss of one sequence: the mean over its labelled tokens.

    Args:
        decoder: With summary tokens, unless no ratio is given.
        parts: In order.
        window: Visual tokens of one window.
        ratio_of: `None` runs the plain decoder: what is seen stays as it is.
        has_checkpoints: Compute layers again in the backward pass.
    """
    chunks: list[tuple[int, int]] = []
    labels: list[int] = []
    for part in parts:
        n = len(part.rows)
        labels += [IGNORED_LABEL] * n if part.labels is None else part.labels
        if part.labels is not None or ratio_of is None:
            chunks.append((n, 0))
            continue
        sizes = [min(window, n - start) for start in range(0, n, window)]
        chunks += [(size, ratio_of(size)) for size in sizes]
    whole = torch.cat([part.rows for part in parts])[None]
    if ratio_of is None:
        hidden = run_causal(decoder, whole, gradient_checkpointing=gradient_checkpointing)
    else:
        course = SequenceSpec(n_prefix=0, chunks=tuple(chunks), texts=(), is_closed=True)
        hidden = parallel_forward(
            decoder, whole, build_layout(course), gradient_checkpointing=gradient_checkpointing
        )
    wanted = torch.tensor(labels[1:], device=whole.device)
    is_wanted = wanted != IGNORED_LABEL
    if not bool(is_wanted.any()):
        # Cut where positions end, before its first label.
        return hidden.sum() * 0.0
    # The head runs where there is a label alone: 152,000 scores a row would outweigh the rest.
    logits = decoder.logits(hidden[0, :-1][is_wanted])
    return F.cross_entropy(logits.float(), wanted[is_wanted])


class VideoXlTask:
    """A net under a stage, for `loop.run_stage`."""

    def __init__(
        self,
        net: VideoXlNet,
        tokenizer: Tokenizer,
        stage: VideoXlStage,
        module: nn.Module,
        *,
        draw: Callable[[np.random.Generator], Sample],
        samples_per_step: int,
        measured: Mapping[str, Sequence[Sample]],
        is_bf16: bool = False,
        seed: int = 0,
    ) -> None:
        """Bind what is learnt to what it is learnt from.

        Args:
            net: On its device.
            tokenizer: The checkpoint's.
            stage: How samples are seen and written.
            module: What learns.
            draw: One sample of the data.
            samples_per_step: Whose losses are averaged.
            measured: Samples whose mean loss, at the default ratio, is a score of that name.
            is_bf16: Products in bfloat16.
            seed: Of draws.
        """
        self.name, self.module = stage.name, module
        self._net, self._tokenizer, self._stage = net, tokenizer, stage
        self._draw, self._n, self._measured = draw, samples_per_step, measured
        self._is_bf16, self._seed = is_bf16, seed
        self._device = net.decoder.embed.weight.device
        self._is_tower_learning = stage.trains("tower.")
        self._kept = _Kept(KEPT_BYTES)

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Mean of a few samples' losses, each the mean over its labelled tokens."""
        random = np.random.default_rng([34, self._seed, step])
        losses = [self.loss_of(self._draw(random), random) for _ in range(self._n)]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def scores(self) -> Mapping[str, float]:
        """Mean loss of some samples at the default ratio."""
        found = {}
        for name, samples in self._measured.items():
            losses = [float(self.loss_of(each, None)) for each in spread(samples, MEASURED)]
            found[name] = sum(losses) / len(losses)
        return found

    def loss_of(self, sample: Sample, random: np.random.Generator | None) -> Float[Tensor, ""]:
        """Loss of one sample, at drawn ratios or without a generator at the default one."""
        net, stage = self._net, self._stage
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._is_bf16):
            return sequence_loss(
                net.decoder,
                self._parts(sample),
                window=net.config.chunk_tokens,
                ratio_of=self._ratio_of(random),
                gradient_checkpointing=stage.gradient_checkpointing and torch.is_grad_enabled(),
            )

    def _ratio_of(self, random: np.random.Generator | None) -> RatioOf | None:
        ratios, usual = self._stage.ratios, self._net.config.compression_ratio
        if not ratios:
            return None
        if random is not None:
            return partial(draw_ratio, ratios, random=random)
        nearest = min(ratios, key=lambda ratio: abs(ratio - usual))
        return lambda _: nearest

    def _parts(self, sample: Sample) -> list[Part]:
        """Embeddings with labels, cut where the decoder's positions end."""
        write = chat_labels.chat if self._stage.template == "chat" else chat_labels.plain
        room = self._net.config.decoder.max_positions
        most = max(1, self._stage.max_frames // max(1, len(sample.media)))
        found: list[Part] = []
        for each in write(sample, self._tokenizer):
            if isinstance(each, Media):
                rows, labels = torch.cat([self._see(path, most) for path in each.paths]), None
            else:
                ids = torch.tensor(each.ids, device=self._device)
                rows, labels = self._net.decoder.embed(ids), each.labels[:room]
            # Rows stay in float32 from here on, whatever the products are in.
            found.append(Part(rows[:room].float(), labels))
            room -= len(found[-1].rows)
        return [part for part in found if len(part.rows)]

    def _see(self, path: Path, most: int) -> Float[Tensor, "token width"]:
        """Visual tokens of a file; gradients reach what learns."""
        assert self._net.projector is not None
        projected: Tensor = self._net.projector(self._features(path, most)).flatten(0, 1)
        return projected

    def _features(self, path: Path, most: int) -> Float[Tensor, "frame patch inner"]:
        key = (path, most)
        if self._is_tower_learning:
            pixels = self._kept.get(key, lambda: self._pixels(path, most))
            return self._look(pixels)
        with torch.no_grad():
            return self._kept.get(key, lambda: self._look(self._pixels(path, most)))

    def _look(self, pixels: Float[Tensor, "frame 3 h w"]) -> Float[Tensor, "frame patch inner"]:
        net, vision = self._net, self._net.config.vision
        assert net.tower is not None
        assert vision is not None
        weight = next(net.tower.vision_model.parameters())
        parts = [
            net.tower.run(part.to(weight), vision.select_layer, with_vectors=False)[0]
            for part in torch.split(pixels, TOWER_BATCH)
        ]
        return torch.cat(parts)

    def _pixels(self, path: Path, most: int) -> Float[Tensor, "frame 3 h w"]:
        vision = self._net.config.vision
        assert vision is not None
        frames = [
            prepare(as_pixels(frame), vision.pixels)
            for frame in iterate_frames(path, fps=FPS, most=most)
        ]
        return torch.cat(list(spread(frames, most)))


class _Kept:
    """Tensors by key, the least recently used leaving first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._held: OrderedDict[tuple[Path, int], Tensor] = OrderedDict()

    def get(self, key: tuple[Path, int], make: Callable[[], Tensor]) -> Tensor:
        """What is held, or what is made now."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        made = make()
        self._held[key] = made
        self._n_bytes += made.nbytes
        while self._n_bytes > self._max_bytes and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            self._n_bytes -= oldest.nbytes
        return made
