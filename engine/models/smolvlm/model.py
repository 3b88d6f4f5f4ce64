"""SmolVLM2: frames of 64 or 81 tokens among their times, for a machine without a card.

Paper arXiv:2504.05299; weights `HuggingFaceTB/SmolVLM2-{256M-Video,500M-Video,2.2B}-Instruct`, with
the layout, the frames and the prompts of transformers 5.24, whose implementation is the oracle of
the tests. No released checkpoint was at hand: its config was seen for the 500M, and the sizes of
the others are the paper's.

Differs from upstream, each on purpose:
- A video is a run of chunks of eight frames; upstream spreads up to 64 frames over a file.
- The prompt counts the frames that were recalled, and gives the time at which they end.
- A frame's time is its own; upstream computes it from the number of the frame.
- Answers are greedy or plainly sampled: generation_config.json is not read.
- Text that people type never turns into control tokens.
- Frame vectors come from the published SigLIP with its text side, if it lies beside the weights.
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
from engine.models.layers.preprocess import prepare
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.text_image import (
    TextEncoder,
    encode_in_batches,
    joint_vectors,
)
from engine.models.layers.towers import TowerConfig
from engine.models.smolvlm.frames import FrameConfig, fit
from engine.models.smolvlm.images import ImageConfig, cut, picture_labels, read_image_config
from engine.models.smolvlm.net import KEY_MAP as KEY_MAP
from engine.models.smolvlm.net import (
    VISION,
    SmolVlmConfig,
    SmolVlmNet,
    published,
    save_net,
    tower_name,
)
from engine.models.smolvlm.net import build as build
from engine.models.smolvlm.net import load_net as load_net
from engine.models.smolvlm.prompts import BORDER, END, START, WHOLE, around_frames, around_one
from engine.models.smolvlm.prompts import introduce as introduce
from engine.models.tiny import randomise, write_byte_tokenizer, write_siglip
from engine.records import Fingerprint, LatentKind, ModelCard, Release, Turn, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, ImageLatents, TokenLatents, VisualTokens

CHUNK_FRAMES = 8
"""Frames of a chunk, our choice: eight seconds at the released rate, and an eighth of the frames
that upstream shows at once."""
LABEL_TOKENS = 13
"""Tokens that the released tokenizer takes for the text around a frame: `\\nFrame from 00:12:`
with a token for each digit, and three around the picture."""


def _sizes(
    width: int, mlp: int, n_layers: int, n_heads: int, n_kv_heads: int, positions: int
) -> SmolVlmConfig:
    is_large = width == 2048
    side = 384 if is_large else 512
    large = {"intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14}
    base = {"hidden_size": 768, "num_attention_heads": 12, "patch_size": 16}
    return SmolVlmConfig(
        decoder=DecoderConfig(
            vocab_size=49_280,
            width=width,
            mlp_width=mlp,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=64,
            rope_theta=273_768.0 if is_large else 100_000.0,
            norm_eps=1e-5,
            max_positions=positions,
        ),
        tower=TowerConfig(
            kind="siglip", vision=VISION | (large if is_large else base) | {"image_size": side}
        ),
        frames=FrameConfig(size_px=side, long_side_px=4 * side),
        shuffle=3 if is_large else 4,
        image_id=49_190,
    )


_TINY = SmolVlmConfig(
    # A LLaMA with grouped heads and more control tokens than the other tiny variants.
    decoder=replace(tiny.DECODER, qkv_bias=False, norm_eps=1e-5, max_positions=4096),
    tower=TowerConfig(kind="siglip", vision=VISION | tiny.VISION),
    frames=FrameConfig(size_px=32, long_side_px=48),
    shuffle=2,
    image_id=257,
)
VARIANTS = {
    "tiny": _TINY,
    "256m": _sizes(576, 1536, 30, 9, 3, 8192),
    "500m": _sizes(960, 2560, 32, 15, 5, 8192),
    "2_2b": _sizes(2048, 8192, 24, 32, 32, 16_384),
}
TINY_CONTROL = ("<|im_end|>", "<image>", BORDER, WHOLE, END, START)


def write_tiny(folder: Path, *, seed: int = 0) -> None:
    """Write a complete checkpoint of the tiny variant with random weights, laid out as released.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    net = build(_TINY, torch.device("cpu"), torch.float32)
    randomise(net, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant="tiny", n_shards=2)
    write_byte_tokenizer(folder, TINY_CONTROL)
    write_siglip(folder / tower_name(_TINY), seed=seed)


def card_of(
    config: SmolVlmConfig,
    *,
    variant: str,
    fingerprint: Fingerprint,
    vector_dim: int,
    bytes_per_number: int = 2,
    latents: LatentKind = "tokens",
) -> ModelCard:
    """Describe a model of this shape: its costs and sizes, for which no weights are needed.

    Args:
        config: The shape.
        variant: Its name.
        fingerprint: Of its weights.
        vector_dim: Size of its frame vectors.
        bytes_per_number: Of the dtype that latents are kept in; 2 for bfloat16.
        latents: What is kept of a chunk.
    """
    n_tokens = config.tokens_per_frame
    return ModelCard(
        family="smolvlm",
        variant=variant,
        fingerprint=fingerprint,
        chunk_frames=CHUNK_FRAMES,
        tokens_per_frame=n_tokens,
        compression_ratio=1,
        latent_bytes=bytes_per_number * latent_bytes(config.decoder, latents),
        vector_dim=vector_dim,
        # Each recalled frame brings text of its own, which nobody else counts.
        max_positions=config.decoder.max_positions * n_tokens // (n_tokens + LABEL_TOKENS),
    )


BEST_AT = "questions about single moments on a laptop: a small decoder, each frame with its time"
VERIFIED = "transformers' implementation, on random checkpoints in the released layout"
RELEASES = tuple(
    Release(
        repository=f"HuggingFaceTB/SmolVLM2-{name}-Instruct",
        parameters=parameters,
        licence="Apache-2.0",
        card=card_of(
            VARIANTS[variant],
            variant=variant,
            fingerprint=Fingerprint(""),
            vector_dim=VARIANTS[variant].tower.vision["hidden_size"],
        ),
        layer_parameters=VARIANTS[variant].decoder.layer_parameters,
        fps=1.0,
        towers=(f"google/{tower_name(VARIANTS[variant])}",),
        bytes_per_parameter=bytes_per_parameter,
        note=note,
    )
    for variant, name, parameters, bytes_per_parameter, note in (
        ("256m", "256M-Video", "0.26B", 4, "published in 32 bits"),
        ("500m", "500M-Video", "0.51B", 4, "published in 32 bits"),
        ("2_2b", "2.2B", "2.2B", None, ""),
    )
)


class SmolVlm(FrameModel):
    """SmolVLM2 as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(self, net: SmolVlmNet, parts: Parts, images: ImageConfig) -> None:
        card = card_of(
            net.config,
            variant=parts.variant,
            fingerprint=parts.fingerprint,
            bytes_per_number=net.decoder.embed.weight.itemsize,
            vector_dim=parts.text_encoder.vector_dim,
            latents=parts.latents,
        )
        end = parts.tokenizer.id_of(END)
        stop = frozenset(() if end is None else (end,))
        super().__init__(net.decoder, parts, card=card, stop=stop)
        self.net, self.images = net, images

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run tower, pixel shuffle and connector over single frames."""
        config = self.net.config.frames
        tokens, vectors = encode_in_batches(
            frames.pixels, lambda batch: self._encode(batch, config)
        )
        return VisualTokens(embeddings=tokens, frame_vectors=vectors, pts_s=frames.pts_s)

    def _encode(
        self, frames: UInt8[Tensor, "frame 3 h w"], config: FrameConfig
    ) -> tuple[Float[Tensor, "frame token width"], Float32[Tensor, "frame dim"]]:
        fitted = fit(frames, config)
        ready = prepare(fitted, config.pixels, self.device)
        tokens, vectors = self.net.visual_tokens(ready.to(self.dtype))
        if self.net.joint is not None and self.joint_pixels is not None:
            vectors = joint_vectors(self.net.joint, fitted, self.joint_pixels)
        return tokens, vectors

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Bring frames to the tower's size."""
        return replace(frames, pixels=fit(frames.pixels, self.net.config.frames))

    def grouped(
        self, tokens: VisualTokens
    ) -> tuple[Float[Tensor, "part token width"], Int16[Tensor, "token 2"] | None]:
        """Return the tokens as they are: the prompt shows frame by frame."""
        return tokens.embeddings, None

    def parts_of(self, chunk: ChunkLatents) -> int:
        """Count the frames."""
        return len(chunk.pts_s)

    @torch.inference_mode()
    def read_image(self, pixels: UInt8[Tensor, "3 h w"]) -> ImageLatents:
        """Run the tiles of a picture, and the whole of it, like frames."""
        tiles, grid = cut(pixels, self.images)
        tokens, _ = encode_in_batches(tiles, lambda batch: self._encode(batch, self.images.frames))
        return ImageLatents(latents=(TokenLatents(embeddings=tokens.flatten(0, 1)),), tiles=grid)

    def prompt(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Prompt:
        """Write the text around images and frames, their number and times, the conversation."""
        times_s = [time_s for chunk in recalled for time_s in chunk.pts_s.tolist()]
        ends_s = max((chunk.ref.span.end_s for chunk in recalled), default=0.0)
        parts = [self.parts_of(chunk) for chunk in recalled]
        return around_frames(
            self.tokenizer,
            introduce(times_s, ends_s),
            parts,
            question,
            history,
            [picture_labels(image.tiles) for image in images],
        )

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
) -> SmolVlm:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config files, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The published SigLIP's folder, if it does not lie beside the weights.
        latents: What is kept of a chunk.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net = load_net(folder, device, dtype, tower=tower)
    files = published(folder, net.config, tower)

    def open_text(home: Path | None) -> TextEncoder:
        return TextEncoder(net.tower, net.joint, home)

    parts = read_parts(net, asdict(net.config), folder, files, latents, open_text)
    return SmolVlm(net, parts, read_image_config(folder, net.config.frames))
