"""Qwen3-VL: frames in their own aspect, in pairs among their times, for a card.

Paper arXiv:2511.21631; weights `Qwen/Qwen3-VL-{2B,4B,8B}-Instruct`, with the layout and the frames
of transformers 5.24, whose implementation is the oracle of the tests. No released checkpoint was at
hand: config and chat template were seen for the 4B, and the sizes of the others are the authors'.

Differs from upstream, each on purpose:
- A video is a run of chunks of eight frames, each with the pixels of a video of 384 frames
  (`frames.SHARED_BY`); upstream divides one budget among the frames of a file.
- A frame's time is its own; upstream computes it from the number of the frame.
- Times stand in the place of the template's `<|vision_start|><|video_pad|><|vision_end|>`, as in
  the code that the release came with; transformers 5.24 leaves the borders around them.
- Answers are greedy or plainly sampled: generation_config.json is not read.
- Text that people type never turns into control tokens.
- Frame vectors come from a SigLIP 2 beside the weights (`net.JOINT_TOWER`), which a pull brings;
  the release has no space that words and pictures share, and without it they are mean features.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int16, UInt8
from torch import Tensor

from engine.models import tiny
from engine.models.frame_checkpoint import Parts, read_parts
from engine.models.frame_model import FrameModel, latent_bytes
from engine.models.layers.allocation import matrices_in
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.preprocess import normalise
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.text_image import (
    VISION_BATCH,
    TextEncoder,
    find_published,
    joint_vectors,
    mean_vectors,
)
from engine.models.qwen3_vl.frames import CHUNK_FRAMES, FrameConfig, fit
from engine.models.qwen3_vl.images import ImageConfig, fit_image, read_image_config
from engine.models.qwen3_vl.net import (
    JOINT_DIM,
    JOINT_TOWER,
    Qwen3VlConfig,
    Qwen3VlNet,
    save_net,
)
from engine.models.qwen3_vl.net import KEY_MAP as KEY_MAP
from engine.models.qwen3_vl.net import build as build
from engine.models.qwen3_vl.net import load_net as load_net
from engine.models.qwen3_vl.prompts import CLOSE, END, OPEN, PAIR, START, around_one, around_pairs
from engine.models.qwen3_vl.prompts import introduce as introduce
from engine.models.qwen3_vl.vision import VisionConfig, places_of
from engine.models.tiny import randomise, write_byte_tokenizer, write_siglip
from engine.records import Fingerprint, LatentKind, ModelCard, Release, Turn, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, ImageLatents, TokenLatents, VisualTokens

LABEL_TOKENS = 12
"""Tokens that the released tokenizer takes for the text around a pair of frames: one a digit."""


def _sizes(
    width: int, mlp: int, n_layers: int, n_heads: int, vision_width: int, *, is_tied: bool
) -> Qwen3VlConfig:
    is_large = vision_width == 1152
    return Qwen3VlConfig(
        decoder=DecoderConfig(
            vocab_size=151_936,
            width=width,
            mlp_width=mlp,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=8,
            head_dim=128,
            rope_theta=5e6,
            is_tied=is_tied,
            max_positions=262_144,
            has_qk_norm=True,
            rope_sections=(24, 20, 20),
        ),
        vision=VisionConfig(
            width=vision_width,
            mlp_width=4304 if is_large else 4096,
            depth=27 if is_large else 24,
            n_heads=16,
            patch_px=16,
            merge=2,
            pair=PAIR,
            out_width=width,
            n_positions=2304,
            deep_layers=(8, 16, 24) if is_large else (5, 11, 17),
        ),
        frames=FrameConfig(factor_px=32, frame_pixels=65_536, least_pixels=4096),
    )


VARIANTS = {
    "tiny": Qwen3VlConfig(
        decoder=replace(
            tiny.DECODER,
            qkv_bias=False,
            is_tied=True,
            has_qk_norm=True,
            rope_sections=(2, 2, 2),
        ),
        vision=VisionConfig(
            width=32,
            mlp_width=48,
            depth=3,
            n_heads=2,
            patch_px=4,
            merge=2,
            pair=PAIR,
            out_width=tiny.DECODER.width,
            n_positions=36,
            deep_layers=(0, 2),
        ),
        frames=FrameConfig(factor_px=8, frame_pixels=2048, least_pixels=1024),
    ),
    "2b": _sizes(2048, 6144, 28, 16, 1024, is_tied=True),
    "4b": _sizes(2560, 9728, 36, 32, 1024, is_tied=True),
    "8b": _sizes(4096, 12_288, 36, 32, 1152, is_tied=False),
}
TINY_CONTROL = ("<|endoftext|>", START, END, OPEN, CLOSE, "<|video_pad|>")


def write_tiny(folder: Path, *, seed: int = 0) -> None:
    """Write a complete checkpoint of the tiny variant with random weights, laid out as released.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    net = build(VARIANTS["tiny"], torch.device("cpu"), torch.float32)
    randomise(net, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant="tiny", n_shards=2)
    write_byte_tokenizer(folder, TINY_CONTROL)
    write_siglip(folder / JOINT_TOWER, seed=seed)


def card_of(
    config: Qwen3VlConfig,
    *,
    variant: str,
    fingerprint: Fingerprint,
    vector_dim: int,
    bytes_per_number: int = 2,
    latents: LatentKind = "tokens",
) -> ModelCard:
    """Describe a model of this shape: its costs and sizes, for which no weights are needed.

    Frames keep their aspect, so these are the sizes of the largest.

    Args:
        config: The shape.
        variant: Its name.
        fingerprint: Of its weights.
        vector_dim: Size of its frame vectors.
        bytes_per_number: Of the dtype that latents are kept in; 2 for bfloat16.
        latents: What is kept of a chunk.
    """
    n_tokens, decoder = config.frames.tokens_per_pair, config.decoder
    numbers = latent_bytes(decoder, latents, n_levels=config.vision.n_levels)
    return ModelCard(
        family="qwen3_vl",
        variant=variant,
        fingerprint=fingerprint,
        chunk_frames=CHUNK_FRAMES,
        tokens_per_frame=n_tokens // PAIR,
        compression_ratio=1,
        latent_bytes=bytes_per_number * numbers,
        vector_dim=vector_dim,
        # Each pair of frames brings text of its own, which nobody else counts.
        max_positions=decoder.max_positions * n_tokens // (n_tokens + LABEL_TOKENS),
        keeps_aspect=True,
    )


BEST_AT = "most questions, where a card is at hand: frames in their own aspect, each pair timed"
VERIFIED = "transformers' implementation, on random checkpoints in the released layout"
RELEASES = tuple(
    Release(
        repository=f"Qwen/Qwen3-VL-{size}-Instruct",
        parameters=parameters,
        licence="Apache-2.0",
        card=card_of(
            VARIANTS[variant],
            variant=variant,
            fingerprint=Fingerprint(""),
            vector_dim=JOINT_DIM,
        ),
        layer_parameters=VARIANTS[variant].decoder.layer_parameters,
        fps=2.0,
        towers=(f"google/{JOINT_TOWER}",),
    )
    for variant, size, parameters in (
        ("2b", "2B", "2.1B"),
        ("4b", "4B", "4.4B"),
        ("8b", "8B", "8.8B"),
    )
)


class Qwen3Vl(FrameModel):
    """Qwen3-VL as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(self, net: Qwen3VlNet, parts: Parts, images: ImageConfig) -> None:
        card = card_of(
            net.config,
            variant=parts.variant,
            fingerprint=parts.fingerprint,
            bytes_per_number=net.decoder.embed.weight.itemsize,
            vector_dim=parts.text_encoder.vector_dim,
            latents=parts.latents,
        )
        super().__init__(net.decoder, parts, card=card)
        self.net, self.images = net, images

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run the tower over pairs of frames, counted from the first one given.

        The two frames of a pair see each other, and both get the pair's tokens.
        """
        fitted, n_frames = fit(frames.pixels, self.net.config.frames), len(frames.pts_s)
        parts = [self._encode(batch) for batch in torch.split(fitted, VISION_BATCH)]
        factor = self.net.config.frames.factor_px
        return VisualTokens(
            embeddings=torch.cat([tokens for tokens, _ in parts])[:n_frames],
            frame_vectors=torch.cat([vectors for _, vectors in parts])[:n_frames].cpu(),
            pts_s=frames.pts_s,
            grid=(fitted.shape[2] // factor, fitted.shape[3] // factor),
            frames_together=PAIR,
        )

    def _encode(
        self, frames: UInt8[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "_frame token width"], Float32[Tensor, "_frame dim"]]:
        config = self.net.config.frames
        # A frame without a second one stands for both, as upstream repeats the last.
        filler = frames[-1:].expand(len(frames) % PAIR, -1, -1, -1)
        ready = normalise(torch.cat([frames, filler]), config.mean, config.std, self.device)
        tokens, features = self.net.tower(ready.to(self.dtype))
        if self.net.joint is not None and self.joint_pixels is not None:
            vectors = joint_vectors(self.net.joint, frames, self.joint_pixels)
        else:
            vectors = mean_vectors(features).repeat_interleave(PAIR, 0)
        return tokens.repeat_interleave(PAIR, 0), vectors

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Bring frames to whole patches."""
        return replace(frames, pixels=fit(frames.pixels, self.net.config.frames))

    def grouped(
        self, tokens: VisualTokens
    ) -> tuple[Float[Tensor, "part token width"], Int16[Tensor, "token 2"] | None]:
        """Return the tokens of each pair of frames, and where in its grid each one stands."""
        assert tokens.grid is not None, "tokens must come from encode"
        return tokens.embeddings[::PAIR], places_of(tokens.grid)

    def parts_of(self, chunk: ChunkLatents) -> int:
        """Count the pairs of frames."""
        return -(-len(chunk.pts_s) // PAIR)

    @torch.inference_mode()
    def read_image(self, pixels: UInt8[Tensor, "3 h w"]) -> ImageLatents:
        """Run a picture in its own aspect; it stands for both frames of a pair."""
        fitted = fit_image(pixels, self.images)
        config, factor = self.images, self.images.factor_px
        ready = normalise(fitted.expand(PAIR, -1, -1, -1), config.mean, config.std, self.device)
        tokens, _ = self.net.tower(ready.to(self.dtype))
        places = places_of((fitted.shape[2] // factor, fitted.shape[3] // factor))
        return ImageLatents(latents=(TokenLatents(embeddings=tokens[0], places=places),))

    def prompt(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Prompt:
        """Write the text around images and timed pairs of frames, and the conversation."""
        times = [label for chunk in recalled for label in introduce(chunk.pts_s.tolist())]
        labels = [*(OPEN for _ in images), *times]
        parts = [*(1 for _ in images), *(self.parts_of(chunk) for chunk in recalled)]
        return around_pairs(self.tokenizer, labels, parts, question, history)

    def scoring_prompt(self, question: str) -> Prompt:
        """Write a prompt around frames whose times are left out."""
        return around_one(self.tokenizer, question)


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    latents: LatentKind = "tokens",
    weights: WeightFormat = "native",
) -> Qwen3Vl:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config files, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: Folder of a tower with a text side, if it does not lie beside the weights.
        latents: What is kept of a chunk.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net = load_net(folder, device, dtype, tower=tower)
    files = find_published(folder, JOINT_TOWER, tower)

    def open_text(home: Path | None) -> TextEncoder:
        return TextEncoder(None, net.joint, home, width=net.config.vision.width)

    parts = read_parts(net, asdict(net.config), folder, files, latents, open_text)
    return Qwen3Vl(net, parts, read_image_config(folder, net.config.vision))
