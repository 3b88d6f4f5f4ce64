"""Video-XL's loss over people's own samples: media to windows with VSTs, and labels on the text.

    sample -> chat_labels -> vision tower (frozen or not) -> projector -> windows with VSTs
           -> one pass -> mean loss over the labelled tokens of the sequence, shifted once

Windows lie inside a stretch of media, so that the text never gets summary tokens; the ratio is
drawn for every window. A stage without ratios runs the plain decoder. Parity: the loss and its
gradients agree with golden case 08.
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
from engine.training.finetune.trainer import tower_features
from engine.training.loop import autocast

FPS = 1.0
"""Rate of the frames that a sample's are chosen from."""
CACHE_BYTES = 2 * 2**30
"""Features, or prepared frames where the tower learns, that are cached between steps."""
TOWER_BATCH = 32
"""Frames a pass of the tower."""
MAX_MEASURED = 64
"""Samples at most whose loss is measured at a checkpoint, evenly over the data."""

RatioOf = Callable[[int], int]
"""Returns the compression ratio of a window of that many tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoXlStage(StageConfig):
    """A stage with its template, ratios and frames."""

    template: Literal["chat", "plain"] = "chat"
    ratios: tuple[int, ...]
    """One is drawn for every window; none for the plain decoder without summary tokens."""
    max_frames: int = 128
    """Of one sample; longer videos are thinned evenly."""
    gradient_checkpointing: bool = True


@dataclass(frozen=True, slots=True)
class SequencePart:
    """A stretch of a sequence: text or media."""

    rows: Float[Tensor, "token width"]
    labels: Sequence[int] | None
    """Of text; `None` of media."""


def draw_ratio(ratios: Sequence[int], n_tokens: int, random: np.random.Generator) -> int:
    """Draw one of the ratios that divide a window.

    Where none does it is one of all; what remains of the window then gets a VST of its own.
    """
    fitting = [ratio for ratio in ratios if ratio <= n_tokens and n_tokens % ratio == 0]
    return int(random.choice(fitting or list(ratios)))


def sequence_loss(
    decoder: Decoder,
    parts: Sequence[SequencePart],
    *,
    window: int,
    ratio_of: RatioOf | None,
    gradient_checkpointing: bool = False,
) -> Float[Tensor, ""]:
    """Return the next-token loss of one sequence: the mean over its labelled tokens.

    Args:
        decoder: With summary tokens, unless no ratio is given.
        parts: In order.
        window: Visual tokens of one window.
        ratio_of: `None` runs the plain decoder: media stay as they are.
        gradient_checkpointing: Compute layers again in the backward pass.
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
    rows = torch.cat([part.rows for part in parts])[None]
    if ratio_of is None:
        hidden = run_causal(decoder, rows, gradient_checkpointing=gradient_checkpointing)
    else:
        spec = SequenceSpec(n_prefix=0, chunks=tuple(chunks), texts=(), is_closed=True)
        hidden = parallel_forward(
            decoder, rows, build_layout(spec), gradient_checkpointing=gradient_checkpointing
        )
    targets = torch.tensor(labels[1:], device=rows.device)
    has_label = targets != IGNORED_LABEL
    if not bool(has_label.any()):
        # Cut where positions end, before its first label.
        return hidden.sum() * 0.0
    # The head runs where there is a label alone: 152,000 scores a row would outweigh the rest.
    logits = decoder.logits(hidden[0, :-1][has_label])
    return F.cross_entropy(logits.float(), targets[has_label])


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSamples:
    """The samples of a task, to learn and to measure."""

    draw: Callable[[np.random.Generator], Sample]
    per_step: int
    """Samples whose losses are averaged in a micro-batch."""
    measured: Mapping[str, Sequence[Sample]]
    """Samples whose mean loss, at the default ratio, is a score of that name."""


class VideoXlTask:
    """A net under a stage, for `loop.run_stage`."""

    def __init__(
        self,
        net: VideoXlNet,
        tokenizer: Tokenizer,
        stage: VideoXlStage,
        module: nn.Module,
        samples: TaskSamples,
        *,
        device: torch.device | None = None,
        is_bf16: bool = False,
        seed: int = 0,
    ) -> None:
        """Bind a net to its samples.

        Args:
            net: On its device, or to be sharded.
            tokenizer: The checkpoint's.
            stage: Template, ratios and frames of the samples.
            module: The parts that learn.
            samples: To learn and to measure.
            device: Where a net computes that is to be sharded; otherwise its own.
            is_bf16: Products in bfloat16.
            seed: Of draws.
        """
        self.name, self.module = stage.name, module
        self._net, self._tokenizer, self._stage = net, tokenizer, stage
        self._samples, self._is_bf16, self._seed = samples, is_bf16, seed
        self._device = device or net.decoder.embed.weight.device
        self._is_tower_learning = stage.trains("tower.")
        self._cache = _TensorCache(CACHE_BYTES)

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the mean of a few samples' losses, each the mean over its labelled tokens."""
        random = np.random.default_rng([34, self._seed, step])
        losses = [
            self.sample_loss(self._samples.draw(random), random)
            for _ in range(self._samples.per_step)
        ]
        return torch.stack(losses).mean()

    @torch.no_grad()
    def scores(self) -> Mapping[str, float]:
        """Return mean losses of the measured samples at the default ratio."""
        scores = {}
        for name, samples in self._samples.measured.items():
            chosen = spread(samples, MAX_MEASURED)
            losses = [float(self.sample_loss(sample, None)) for sample in chosen]
            scores[name] = sum(losses) / len(losses)
        return scores

    def sample_loss(self, sample: Sample, random: np.random.Generator | None) -> Float[Tensor, ""]:
        """Return the loss of one sample, at drawn ratios or without a generator at the default."""
        net, stage = self._net, self._stage
        with autocast(self._device, use_bf16=self._is_bf16):
            return sequence_loss(
                net.decoder,
                self._parts(sample),
                window=net.config.chunk_tokens,
                ratio_of=self._ratio_of(random),
                gradient_checkpointing=stage.gradient_checkpointing and torch.is_grad_enabled(),
            )

    def _ratio_of(self, random: np.random.Generator | None) -> RatioOf | None:
        ratios, default = self._stage.ratios, self._net.config.compression_ratio
        if not ratios:
            return None
        if random is not None:
            return partial(draw_ratio, ratios, random=random)
        nearest = min(ratios, key=lambda ratio: abs(ratio - default))
        return lambda _: nearest

    def _parts(self, sample: Sample) -> list[SequencePart]:
        """Return embeddings with labels, cut where the decoder's positions end."""
        write = chat_labels.chat if self._stage.template == "chat" else chat_labels.plain
        room = self._net.config.decoder.max_positions
        max_frames = max(1, self._stage.max_frames // max(1, len(sample.media)))
        parts: list[SequencePart] = []
        for stretch in write(sample, self._tokenizer):
            if isinstance(stretch, Media):
                tokens = [self._visual_tokens(path, max_frames) for path in stretch.paths]
                rows, labels = torch.cat(tokens), None
            else:
                ids = torch.tensor(stretch.ids, device=self._device)
                rows, labels = self._net.decoder.embed(ids), stretch.labels[:room]
            # Rows stay in float32 from here on, whatever the products are in.
            parts.append(SequencePart(rows[:room].float(), labels))
            room -= len(parts[-1].rows)
        return [part for part in parts if len(part.rows)]

    def _visual_tokens(self, path: Path, max_frames: int) -> Float[Tensor, "token width"]:
        """Return the visual tokens of a file; gradients reach the parts that learn."""
        assert self._net.projector is not None
        projected: Tensor = self._net.projector(self._features(path, max_frames)).flatten(0, 1)
        return projected

    def _features(self, path: Path, max_frames: int) -> Float[Tensor, "frame patch inner"]:
        key = (path, max_frames)
        if self._is_tower_learning:
            return self._run_tower(self._cache.get(key, lambda: self._pixels(path, max_frames)))
        with torch.no_grad():
            return self._cache.get(key, lambda: self._run_tower(self._pixels(path, max_frames)))

    def _run_tower(
        self, pixels: Float[Tensor, "frame 3 h w"]
    ) -> Float[Tensor, "frame patch inner"]:
        tower, vision = self._net.tower, self._net.config.vision
        assert tower is not None
        assert vision is not None
        return tower_features(tower, torch.split(pixels, TOWER_BATCH), vision.select_layer)

    def _pixels(self, path: Path, max_frames: int) -> Float[Tensor, "frame 3 h w"]:
        vision = self._net.config.vision
        assert vision is not None
        frames = [
            prepare(as_pixels(frame), vision.pixels)
            for frame in iterate_frames(path, fps=FPS, max_frames=max_frames)
        ]
        return torch.cat(list(spread(frames, max_frames)))


class _TensorCache:
    """Tensors by key, the least recently used leaving first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._tensors: OrderedDict[tuple[Path, int], Tensor] = OrderedDict()

    def get(self, key: tuple[Path, int], compute: Callable[[], Tensor]) -> Tensor:
        """Return the cached tensor, or compute and cache it."""
        if key in self._tensors:
            self._tensors.move_to_end(key)
            return self._tensors[key]
        tensor = compute()
        self._tensors[key] = tensor
        self._n_bytes += tensor.nbytes
        while self._n_bytes > self._max_bytes and len(self._tensors) > 1:
            _, oldest = self._tensors.popitem(last=False)
            self._n_bytes -= oldest.nbytes
        return tensor
