"""PLLaVA: an image model taught video by pooling, without one new parameter.

Every frame goes through CLIP and the projector; the volume of a chunk's tokens is averaged to
16 x 12 x 12 and stands in the prompt of a LLaMA-type decoder. Adapters trained on video are fused
at a strength chosen at load time: 4 of the 32 they were trained with, as released.

Paper arXiv:2404.16994; weights `ermu2001/pllava-{7b,13b,34b}`; rules checked against
magic-research/PLLaVA at 6f49fd2 by the cases of `tests/golden/pllava`.

Differs from upstream, each on purpose:
- A video is a run of chunks, each pooled by itself when it arrives; upstream sees 16 frames once.
- A short last chunk keeps as many pooled frames as it has; upstream repeats frames to fill 16
  (checked: `test_short_chunk_keeps_a_share_of_its_frames`; the repeat rule is `repeat_short`).
- Weights that a checkpoint lacks are an error; upstream leaves them random and goes on.
- A question that spells a control token gets it parted by a space.
- Frame vectors come from a stand-alone CLIP with its text side, if one lies beside the weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from engine.models import token_model
from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.preprocess import PixelConfig, prepare, resize
from engine.models.layers.text_image import TextEncoder
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import TowerConfig
from engine.models.layers.weights import fingerprint, read_config
from engine.models.pllava.net import (
    KEY_MAP,
    RELEASED_ALPHA,
    RELEASED_TOWER,
    Adapters,
    PllavaConfig,
    PllavaNet,
    build,
    join_text,
    load_net,
    save_net,
    tower_files,
)
from engine.models.pllava.prompts import TEMPLATES, VIDEO_TAG, Template
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import Prompt, TokenStream
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn
from engine.tensors import ChunkLatents, FrameBatch, Latents, Token, TokenLatents, VisualTokens

__all__ = ["KEY_MAP", "VARIANTS", "Pllava", "build", "load", "recognises"]

TINY_RANK = 8
VISION_BATCH = 32
"""Frames a pass of the tower: its activations, not the decoder's, would set the memory limit."""
LONG_SIDE_PX = 640
"""Frames are brought down to this before the tower's own resize, as upstream does."""
RECAPTION = (
    "Describe this stretch of video: where it plays, who or what is seen, and what happens, in "
    "order. Leave out colours and counts that you are not sure of."
)
"""Our wording of the wish; the template around it is upstream's."""


def _tiny() -> PllavaConfig:
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    tower |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "vocab_size": 264, "max_position_embeddings": 32}
    text |= {"bos_token_id": 257, "eos_token_id": 258, "pad_token_id": 256}
    return PllavaConfig(
        decoder=DecoderConfig(
            vocab_size=264,
            width=48,
            mlp_width=64,
            n_layers=3,
            n_heads=4,
            n_kv_heads=4,
            head_dim=12,
            max_positions=4096,
        ),
        tower=TowerConfig(kind="clip", vision=tower, text=text, vector_dim=16),
        pixels=PixelConfig(size_px=32),
        chunk_frames=4,
        pooling=(4, 2, 2),
    )


VARIANTS = {"tiny": _tiny()}

BEST_AT = "dense captions of short clips; its adapters' strength is chosen at load time"
RELEASES = tuple(
    Release(
        repository=f"ermu2001/pllava-{size}",
        parameters=size.upper(),
        licence="that of its base model",
        card=ModelCard(
            family="pllava",
            variant=size,
            fingerprint=Fingerprint(""),
            chunk_frames=16,
            tokens_per_frame=576,
            compression_ratio=4,
            latent_bytes=2 * width,
            vector_dim=768,
            max_positions=4096,
        ),
        fps=1.0,
    )
    for size, width in (("7b", 4096), ("13b", 5120), ("34b", 7168))
)


def write_tiny(folder: Path, *, seed: int = 0) -> None:
    """Write a complete checkpoint of the tiny variant with random weights, laid out as released.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    config = VARIANTS["tiny"]
    net = build(config, torch.device("cpu"), torch.float32)
    adapters = nn.ModuleList(
        Adapters(config.decoder, TINY_RANK) for _ in range(config.decoder.n_layers)
    )
    randomise(nn.ModuleList([net, adapters]), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, adapters, folder, variant="tiny", n_shards=2)
    write_byte_tokenizer(folder, ("<pad>", VIDEO_TAG, "<s>", "</s>"), opened=True)
    clip = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    write_byte_tokenizer(folder / RELEASED_TOWER, clip, framed=True)


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one of this family."""
    names = config.get("architectures") or ()
    return "pooling_shape" in config or any(
        name in {"PlavaForConditionalGeneration", "PllavaForConditionalGeneration"}
        for name in names
    )


class Pllava:
    """The family behind the engine's seam: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: PllavaNet,
        tokenizer: Tokenizer,
        text_side: TextEncoder,
        *,
        variant: str,
        seal: Fingerprint,
    ) -> None:
        self.net, self.tokenizer, self.text_side = net, tokenizer, text_side
        config, weight = net.config, net.decoder.embed.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.card = ModelCard(
            family="pllava",
            variant=variant,
            fingerprint=seal,
            chunk_frames=config.chunk_frames,
            tokens_per_frame=net.tower.grid**2,
            compression_ratio=net.compression_ratio,
            latent_bytes=config.decoder.width * weight.itemsize,
            vector_dim=text_side.vector_dim,
            max_positions=config.decoder.max_positions,
        )
        is_yi = tokenizer.id_of("<|im_start|>") is not None
        self._ask = TEMPLATES["eval_vcg_llavanext" if is_yi else "eval_vcgbench"]
        self._recaption = TEMPLATES["eval_recaption_llavanext" if is_yi else "eval_recaption"]
        self._stop = tokenizer.ends()

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Tower and projector over single frames, in small batches; pooling waits for the chunk."""
        height_px, width_px = first_resize(
            frames.pixels.shape[2], frames.pixels.shape[3], self.net.config.pixels.size_px
        )
        tokens, vectors = [], []
        for pixels in torch.split(frames.pixels, VISION_BATCH):
            ready = prepare(resize(pixels, height_px, width_px), self.net.config.pixels)
            seen, unit = self.net.visual_tokens(ready.to(self.device, self.dtype))
            tokens.append(seen)
            vectors.append(unit)
        return VisualTokens(
            embeddings=torch.cat(tokens),
            frame_vectors=torch.cat(vectors).cpu(),
            pts_s=frames.pts_s,
        )

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> TokenStream:
        """Start or resume a video; chunks do not look back.

        Raises:
            ValueError: No grid of pooled tokens has this ratio; the message lists those that do.
        """
        ratio = self.card.compression_ratio if compression_ratio is None else compression_ratio
        self.net.pooled_grid(ratio)
        return TokenStream(ratio)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> TokenLatents:
        """Average the volume of one chunk: frames, rows and columns."""
        n_frames, n_most = tokens.embeddings.shape[0], self.net.config.chunk_frames
        if not 0 < n_frames <= n_most:
            raise ValueError(f"tokens must be one chunk of 1 to {n_most} frames, not {n_frames}")
        pooled = self.net.pool(tokens.embeddings, stream.compression_ratio)
        return TokenLatents(embeddings=pooled)

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """A query as a unit vector in the space of frame vectors."""
        return self.text_side.embed(text)

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Mean attention of the question on each candidate, alone behind the prompt's opening."""
        prompt = self._prompt(self._ask, question)
        full = self.card.latents_per_chunk
        return token_model.attend(self.net.decoder, prompt, candidates, full_latents=full)

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Answer from recalled chunks, in the order given, token by token."""
        yield from self._say(self._prompt(self._ask, question, history), recalled, sampling)

    def recaption(self, chunk: ChunkLatents, sampling: Sampling) -> Iterator[Token]:
        """Describe one chunk at length: the paper's re-captioning use."""
        yield from self._say(self._prompt(self._recaption, RECAPTION), [chunk], sampling)

    def _say(
        self, prompt: Prompt, recalled: Sequence[ChunkLatents], sampling: Sampling
    ) -> Iterator[Token]:
        yield from token_model.answer(
            self.net.decoder, prompt, recalled, self.tokenizer, sampling, stop=self._stop
        )

    def _prompt(self, template: Template, question: str, history: Sequence[Turn] = ()) -> Prompt:
        """Ids of the whole prompt, parted where the video stands."""
        part = self.tokenizer.part_controls
        turns = [Turn(question=part(t.question), answer=part(t.answer)) for t in history]
        text = template.render(part(question), history=turns) + template.answer_prefix
        before, _, after = text.partition(VIDEO_TAG)
        # A tokenizer that knows the tag reads the prompt in one piece, as upstream does.
        tag = self.tokenizer.id_of(VIDEO_TAG)
        ids = self.tokenizer.opened(text)
        if tag in ids:
            place = ids.index(tag)
            return Prompt(before=ids[:place], after=ids[place + 1 :])
        return Prompt(before=self.tokenizer.opened(before), after=self.tokenizer.control(after))


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    alpha: float = RELEASED_ALPHA,
    base: Path | None = None,
) -> Pllava:
    """A checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The stand-alone tower's folder, if it does not lie beside the weights.
        alpha: Strength of the adapters; another strength makes another fingerprint.
        base: The image model, where the folder holds adapters and projector alone.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    net = load_net(folder, device, dtype, alpha=alpha, base=base)
    files = tower_files(folder, tower)
    join_text(net, files)
    raw = read_config(folder)
    return Pllava(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, net.joint, files.folder),
        variant=str(raw.get("variant", folder.name)),
        seal=fingerprint({"config": raw, "pixels": asdict(net.config.pixels)}, net),
    )


def first_resize(height_px: int, width_px: int, size_px: int) -> tuple[int, int]:
    """Upstream's first resize: the long side at most 640, the short one at least the tower's.

    Returns:
        Height and width; the tower's own resize and crop come after.
    """
    short, long = sorted((height_px, width_px))
    ratio = long / short
    small = max(min(short, int(min(LONG_SIDE_PX, long) / ratio)), size_px)
    large = int(small * long / short)
    return (small, large) if height_px <= width_px else (large, small)
