"""PLLaVA: an image model taught video by pooling, without one new parameter.

Every frame goes through CLIP and the projector; the volume of a chunk's tokens is averaged to
16 x 12 x 12 and stands in the prompt of a LLaMA-type decoder. Adapters trained on video are fused
at a strength chosen at load time: 4 of the 32 they were trained with, as released.

Paper arXiv:2404.16994; weights `ermu2001/pllava-{7b,13b,34b}`; rules checked against
magic-research/PLLaVA at 6f49fd2 by the cases of `tests/golden/pllava`.

Differs from upstream, each on purpose:
- A video is a run of chunks, each pooled by itself when it arrives; upstream sees 16 frames once.
- A short last chunk keeps as many pooled frames as it has; upstream repeats frames to fill 16
  (checked: `test_short_chunk_keeps_a_share_of_its_frames`).
- Weights that a checkpoint lacks are an error; upstream leaves them random and goes on.
- A question that spells a control token gets it parted by a space.
- Frame vectors come from a stand-alone CLIP with its text side, if one lies beside the weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from engine.models import tiny
from engine.models.layers.allocation import matrices_in
from engine.models.layers.fingerprint import fingerprint_weights, hashed_fields, weight_files
from engine.models.layers.preprocess import PixelConfig, fit, prepare, resize
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.text_image import TextEncoder, encode_in_batches, load_joint
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import TowerConfig, find_tower
from engine.models.layers.weights import read_config
from engine.models.pllava.net import (
    KEY_MAP,
    RELEASED_ALPHA,
    RELEASED_TOWER,
    Adapters,
    PllavaConfig,
    PllavaNet,
    build,
    load_net,
    save_net,
)
from engine.models.pllava.prompts import TEMPLATES, VIDEO_TAG, Template
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import TokenModel
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, Token, TokenLatents, VisualTokens

__all__ = ["KEY_MAP", "VARIANTS", "Pllava", "build", "load"]

TINY_RANK = 8
LONG_SIDE_PX = 640
"""Frames are brought down to this before the tower's own resize, as upstream does."""
RECAPTION = (
    "Describe this stretch of video: where it plays, who or what is seen, and what happens, in "
    "order. Leave out colours and counts that you are not sure of."
)
"""The instruction, in our words; the template around it is upstream's."""


VARIANTS = {
    "tiny": PllavaConfig(
        # A LLaMA: no grouped heads, no bias, rotary base 10,000.
        decoder=replace(
            tiny.DECODER, n_kv_heads=4, qkv_bias=False, rope_theta=10_000.0, max_positions=4096
        ),
        tower=TowerConfig(
            kind="clip",
            vision=tiny.VISION,
            text=tiny.text_config(24, 32, **tiny.SPECIAL_IDS),
            vector_dim=16,
        ),
        pixels=PixelConfig(size_px=32),
        chunk_frames=4,
        pooling=(4, 2, 2),
    )
}

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
        layer_parameters=layers,
        fps=1.0,
        towers=(f"openai/{RELEASED_TOWER}",),
    )
    for size, width, layers in (
        ("7b", 4096, 32 * (4 * 4096**2 + 3 * 4096 * 11_008)),
        ("13b", 5120, 40 * (4 * 5120**2 + 3 * 5120 * 13_824)),
        # Yi's has grouped heads.
        ("34b", 7168, 60 * (2 * 7168**2 + 2 * 7168 * 1024 + 3 * 7168 * 20_480)),
    )
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


class Pllava(TokenModel):
    """PLLaVA as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: PllavaNet,
        tokenizer: Tokenizer,
        text_encoder: TextEncoder,
        *,
        variant: str,
        fingerprint: Fingerprint,
    ) -> None:
        config = net.config
        card = ModelCard(
            family="pllava",
            variant=variant,
            fingerprint=fingerprint,
            chunk_frames=config.chunk_frames,
            tokens_per_frame=net.tower.grid**2,
            compression_ratio=net.compression_ratio,
            latent_bytes=config.decoder.width * net.decoder.embed.weight.itemsize,
            vector_dim=text_encoder.vector_dim,
            max_positions=config.decoder.max_positions,
        )
        super().__init__(net.decoder, tokenizer, text_encoder, card=card, stop=tokenizer.ends())
        self.net = net
        # The 34B is a Yi with chat markers, the smaller ones are Vicunas.
        is_yi = tokenizer.id_of("<|im_start|>") is not None
        self._ask = TEMPLATES["eval_vcg_llavanext" if is_yi else "eval_vcgbench"]
        self._recaption = TEMPLATES["eval_recaption_llavanext" if is_yi else "eval_recaption"]

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run tower and projector over single frames; pooling waits for the whole chunk."""
        tokens, vectors = encode_in_batches(frames.pixels, self._encode)
        return VisualTokens(embeddings=tokens, frame_vectors=vectors, pts_s=frames.pts_s)

    def _encode(
        self, frames: UInt8[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
        ready = prepare(self._fitted(frames), self.net.config.pixels, self.device)
        return self.net.visual_tokens(ready.to(self.dtype))

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Bring frames to the tower's size."""
        return replace(frames, pixels=self._fitted(frames.pixels))

    def _fitted(self, frames: UInt8[Tensor, "frame 3 h w"]) -> UInt8[Tensor, "frame 3 size size"]:
        config = self.net.config.pixels
        height_px, width_px = first_resize(frames.shape[2], frames.shape[3], config.size_px)
        return fit(resize(frames, height_px, width_px), config)

    def _check_ratio(self, compression_ratio: int) -> None:
        """Refuse a ratio that no grid of pooled tokens has; the message lists the others."""
        self.net.pooled_grid(compression_ratio)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> TokenLatents:
        """Average the volume of one chunk over frames, rows and columns."""
        n_frames, max_frames = tokens.embeddings.shape[0], self.net.config.chunk_frames
        if not 0 < n_frames <= max_frames:
            raise ValueError(
                f"tokens must be one chunk of 1 to {max_frames} frames, not {n_frames}"
            )
        pooled = self.net.pool(tokens.embeddings, stream.compression_ratio)
        return TokenLatents(embeddings=pooled)

    def prompt(
        self, question: str, recalled: Sequence[ChunkLatents], history: Sequence[Turn] = ()
    ) -> Prompt:
        """Write the layout of the released benchmark numbers around the chunks."""
        return self._prompt(self._ask, question, history)

    def recaption(self, chunk: ChunkLatents, sampling: Sampling) -> Iterator[Token]:
        """Describe one chunk at length: the paper's re-captioning use."""
        yield from self._generate(self._prompt(self._recaption, RECAPTION), [chunk], sampling)

    def _prompt(self, template: Template, question: str, history: Sequence[Turn] = ()) -> Prompt:
        """Encode a whole prompt, parted where the video stands."""
        part = self.tokenizer.part_controls
        turns = [Turn(question=part(t.question), answer=part(t.answer)) for t in history]
        text = template.render(part(question), history=turns) + template.answer_prefix
        before, _, after = text.partition(VIDEO_TAG)
        # A tokenizer that knows the tag reads the prompt in one piece, as upstream does.
        tag = self.tokenizer.id_of(VIDEO_TAG)
        ids = self.tokenizer.opened(text)
        if tag in ids:
            tag_idx = ids.index(tag)
            return Prompt(before=ids[:tag_idx], after=ids[tag_idx + 1 :])
        return Prompt(before=self.tokenizer.opened(before), after=self.tokenizer.control(after))


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    alpha: float = RELEASED_ALPHA,
    base: Path | None = None,
    weights: WeightFormat = "native",
) -> Pllava:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The stand-alone tower's folder, if it does not lie beside the weights.
        alpha: Strength of the adapters; another strength makes another fingerprint.
        base: The image model, where the folder holds adapters and projector alone.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net = load_net(folder, device, dtype, alpha=alpha, base=base)
    raw = read_config(folder)
    files = find_tower(folder, raw.get("mm_vision_tower", RELEASED_TOWER), tower)
    net.tower, net.joint = load_joint(net.tower, files)
    return Pllava(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, net.joint, files.folder),
        variant=str(raw.get("variant", folder.name)),
        fingerprint=fingerprint_weights(
            # Adapters are fused at a strength: it is no part of any file.
            {"config": raw, "pixels": hashed_fields(net.config.pixels)},
            net,
            weight_files(folder, files.folder, base) if alpha == RELEASED_ALPHA else (),
        ),
    )


def first_resize(height_px: int, width_px: int, size_px: int) -> tuple[int, int]:
    """Compute upstream's first resize: long side at most 640, short side at least the tower's.

    Returns:
        Height and width; the tower's own resize and crop come after.
    """
    short, long = sorted((height_px, width_px))
    ratio = long / short
    small = max(min(short, int(min(LONG_SIDE_PX, long) / ratio)), size_px)
    large = int(small * long / short)
    return (small, large) if height_px <= width_px else (large, small)
