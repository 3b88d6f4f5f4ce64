"""Video-XL: a Qwen2 decoder that compresses each chunk of video to VST keys and values.

Paper arXiv:2409.14485; weights `sy1998/Video_XL` (subfolder `VideoXL_weight_8`); rules checked
against VectorSpaceLab/Video-XL at 6e3dc89 by the cases of `tests/golden/video_xl`.

Differs from upstream, each on purpose:
- Still images may be several, beside video or without: upstream reads one, without video.
- A chunk that ends in a remainder gets a last VST; upstream drops the tokens behind the last one.
- The compression ratio belongs to a stream, and every random draw has a seed.
- Questions may recall any chunks, and may follow earlier turns or stand without video.
- Answers are greedy or plainly sampled: generation_config.json and its penalties are not read.
- Text that people type never turns into control tokens; rows beyond the vocabulary are cut off.
- Average pooling comes before the last linear layer of the projector, with which it commutes.
- Frame vectors come from a stand-alone CLIP with its text side, if the tower's folder holds one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from engine import device as devices
from engine.errors import WeightsError
from engine.models import tiny
from engine.models.layers.allocation import matrices_in
from engine.models.layers.fingerprint import fingerprint_weights, hashed_fields, weight_files
from engine.models.layers.generate import generate, stepwise
from engine.models.layers.preprocess import PixelConfig, fit, prepare
from engine.models.layers.shared_steps import SharedSteps
from engine.models.layers.text_image import TextEncoder, encode_in_batches
from engine.models.layers.tokenizer import QWEN, Tokenizer
from engine.models.layers.towers import Tower, TowerConfig, find_tower
from engine.models.layers.weights import read_config
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.video_xl.images import cut, tile_sizes
from engine.models.video_xl.net import KEY_MAP as KEY_MAP
from engine.models.video_xl.net import (
    VideoXlConfig,
    VideoXlNet,
    VisionConfig,
    copy_base_to_vst,
    load_net,
    save_net,
)
from engine.models.video_xl.net import build as build
from engine.models.video_xl.vst import (
    VstCache,
    compress_chunk,
    interleave,
    open_cache,
    prefill_prefix,
    score_chunks,
)
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn, WeightFormat
from engine.tensors import (
    ChunkLatents,
    FrameBatch,
    ImageLatents,
    KvLatents,
    Latents,
    Token,
    VisualTokens,
)

_TINY_CLIP = TowerConfig(
    kind="clip", vision=tiny.VISION, text=tiny.text_config(24, 32), vector_dim=16
)
VARIANTS = {
    "tiny": VideoXlConfig(
        decoder=replace(tiny.DECODER, has_vst=True),
        chunk_tokens=16,
        compression_ratios=(2, 4, 8),
        eos_ids=(258,),
        vision=VisionConfig(
            tower=_TINY_CLIP.vision_only(),
            pixels=PixelConfig(size_px=32, fit="squash"),
        ),
    )
}

BEST_AT = "hours of video on one GPU: a few latents per frame, kept for good"
RELEASES = (
    Release(
        repository="sy1998/Video_XL",
        parameters="8.4B",
        licence="Apache-2.0",
        card=ModelCard(
            family="video_xl",
            variant="7b",
            fingerprint=Fingerprint(""),
            chunk_frames=10,
            tokens_per_frame=144,
            compression_ratio=8,
            latent_bytes=57_344,
            vector_dim=768,
            max_positions=32_768,
        ),
        # Qwen2-7B's, and projections of VSTs beside those of q, k and v.
        layer_parameters=6_525_288_448 + 462_422_016,
        fps=1.0,
        towers=("openai/clip-vit-large-patch14-336",),
        note="trained at ratios 2, 4 and 8; 16 is extrapolation",
    ),
)


def write_tiny(folder: Path, *, seed: int = 0) -> None:
    """Write a complete checkpoint of the tiny variant with random weights, laid out as released.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    net = build(VARIANTS["tiny"], torch.device("cpu"), torch.float32)
    net.joint = Tower(_TINY_CLIP)
    randomise(net, seed=seed)
    copy_base_to_vst(net)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, n_shards=2, variant="tiny")
    write_byte_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    write_byte_tokenizer(
        folder / "clip", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), framed=True
    )


class VideoXlStream:
    """The VSTs of one running video; opened by `VideoXl.open_stream`."""

    def __init__(self, cache: VstCache, compression_ratio: int) -> None:
        self.cache = cache
        self._compression_ratio = compression_ratio

    @property
    def compression_ratio(self) -> int:
        """Visual tokens per latent in this stream."""
        return self._compression_ratio

    @torch.inference_mode()
    def remember(self, latents: Latents) -> None:
        """Add a chunk exactly as it was stored; the oldest leave when the limit is passed."""
        self.cache.append((_require_kv(latents),))


class VideoXl:
    """Video-XL as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: VideoXlNet,
        tokenizer: Tokenizer,
        text_encoder: TextEncoder,
        *,
        variant: str,
        fingerprint: Fingerprint,
        image_sizes: Sequence[tuple[int, int]] = (),
    ) -> None:
        assert net.config.vision is not None
        assert net.tower is not None
        self.net, self.tokenizer, self.text_encoder = net, tokenizer, text_encoder
        self._image_sizes = tuple(image_sizes)
        config, vision, sizes = net.config, net.config.vision, net.config.decoder
        weight = net.decoder.embed.weight
        self.device, self.dtype = weight.device, weight.dtype
        per_frame = (net.tower.grid // vision.pool_stride) ** 2
        self.card = ModelCard(
            family="video_xl",
            variant=variant,
            fingerprint=fingerprint,
            chunk_frames=config.chunk_tokens // per_frame,
            tokens_per_frame=per_frame,
            compression_ratio=config.compression_ratio,
            # Keys and values of every layer.
            latent_bytes=2 * sizes.n_layers * sizes.n_kv_heads * sizes.head_dim * weight.itemsize,
            vector_dim=text_encoder.vector_dim,
            max_positions=sizes.max_positions,
        )
        self._steps = SharedSteps(net.decoder)
        end = tokenizer.id_of("<|im_end|>")
        self._stop = frozenset(config.eos_ids) | (frozenset() if end is None else {end})
        with torch.inference_mode():
            self._sink = prefill_prefix(net.decoder, self._embed(QWEN.before_video(tokenizer)))

    @property
    def shares_steps(self) -> bool:
        """Whether answers in threads beside each other decode in common steps."""
        return self.device.type == "cpu"

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes in a prompt."""
        return len(self.tokenizer.plain(text))

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run tower and projector over single frames, in small batches."""
        tokens, vectors = encode_in_batches(frames.pixels, self._encode)
        return VisualTokens(embeddings=tokens, frame_vectors=vectors, pts_s=frames.pts_s)

    def _encode(
        self, frames: UInt8[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame token width"], Float32[Tensor, "frame dim"]]:
        assert self.net.config.vision is not None
        ready = prepare(frames, self.net.config.vision.pixels, self.device)
        return self.net.visual_tokens(ready.to(self.dtype))

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Bring frames to the tower's size."""
        assert self.net.config.vision is not None
        return replace(frames, pixels=fit(frames.pixels, self.net.config.vision.pixels))

    @torch.inference_mode()
    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> VideoXlStream:
        """Start or resume a video."""
        ratio = self.card.compression_ratio if compression_ratio is None else compression_ratio
        if ratio < 1:
            raise ValueError(f"compression_ratio must be at least 1, not {ratio}")
        cache = open_cache(
            self.net.decoder,
            self._sink,
            [_require_kv(latents) for latents in past],
            # A chunk's tokens and, at ratio 1, as many VSTs.
            n_more=2 * self.net.config.chunk_tokens,
            max_latents=max_past_latents,
        )
        return VideoXlStream(cache, ratio)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> KvLatents:
        """Compress the visual tokens of one chunk; a remainder gets a last VST of its own."""
        if not isinstance(stream, VideoXlStream):
            raise TypeError(f"stream must come from open_stream, not {type(stream).__name__}")
        rows = tokens.embeddings.flatten(0, 1)
        if not 0 < rows.shape[0] <= self.net.config.chunk_tokens:
            raise ValueError(
                f"tokens must be one chunk of at most {self.net.config.chunk_tokens} visual tokens,"
                f" not {rows.shape[0]}"
            )
        plan = interleave(rows.shape[0], stream.compression_ratio, is_closed=True)
        return compress_chunk(rows, stream.cache, plan)

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """Embed a query as a unit vector in the space of frame vectors.

        Raises:
            MissingCapabilityError: The tower came without its text side.
        """
        return self.text_encoder.embed(text)

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Score candidates by the question's attention to each, alone behind the sink."""
        return score_chunks(
            self.net.decoder,
            self._sink,
            [_require_kv(candidate.latents) for candidate in candidates],
            self._embed(QWEN.after_video(self.tokenizer, question)),
            full_latents=self.card.latents_per_chunk,
        )

    @property
    def reads_images(self) -> bool:
        """Whether the checkpoint was trained on still images; nano was not."""
        return bool(self._image_sizes)

    @torch.inference_mode()
    def read_image(self, pixels: UInt8[Tensor, "3 h w"]) -> ImageLatents:
        """Compress the tiles of a picture like the frames of a video of its own."""
        assert self._image_sizes, "whoever calls has asked reads_images"
        assert self.net.config.vision is not None
        side_px = self.net.config.vision.pixels.size_px
        tiles, grid = cut(pixels, self._image_sizes, side_px)
        tokens = self.encode(FrameBatch(pixels=tiles, pts_s=torch.zeros(len(tiles)).double()))
        stream, latents = self.open_stream(), list[KvLatents]()
        for start in range(0, len(tiles), self.card.chunk_frames):
            window = slice(start, start + self.card.chunk_frames)
            part = replace(
                tokens,
                embeddings=tokens.embeddings[window],
                frame_vectors=tokens.frame_vectors[window],
                pts_s=tokens.pts_s[window],
            )
            latents.append(self.compress(part, stream))
            stream.remember(latents[-1])
        return ImageLatents(latents=tuple(latents), tiles=grid)

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
        images: Sequence[ImageLatents] = (),
    ) -> Iterator[Token]:
        """Answer about images, which stand first, and recalled chunks, token by token."""
        decoder = self.net.decoder
        with torch.inference_mode(), devices.lane(self.device, "answer"):
            prompt = self._embed(QWEN.after_video(self.tokenizer, question, history))
            shown = [_require_kv(part) for image in images for part in image.latents]
            latents = [*shown, *(_require_kv(chunk.latents) for chunk in recalled)]
            # Room for prompt and answer at once, so that no token makes the cache grow and move.
            n_more = prompt.shape[0] + sampling.max_tokens
            cache = open_cache(decoder, self._sink, latents, n_more=n_more)
        ends = list(accumulate((part.n_latents for part in latents), initial=self._sink.n))
        tokens = generate(
            decoder,
            cache.buffer,
            prompt,
            self.tokenizer,
            sampling,
            stop=self._stop,
            chunks=[range(start, end) for start, end in pairwise(ends)][len(shown) :],
            shared=self._steps,
        )
        yield from stepwise(tokens, self.device)

    def _embed(self, ids: list[int]) -> Float[Tensor, "token width"]:
        embedded: Tensor = self.net.decoder.embed(devices.upload(torch.tensor(ids), self.device))
        return embedded


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    weights: WeightFormat = "native",
) -> VideoXl:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The stand-alone tower's folder, if not the one that the config names.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net = load_net(folder, device, dtype, tower=tower)
    raw = read_config(folder)
    if net.config.vision is None:
        raise WeightsError(f"{folder} has no vision tower: config.json lacks mm_vision_tower")
    assert net.tower is not None
    files = find_tower(folder, raw["mm_vision_tower"], tower)
    return VideoXl(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, net.joint, files.folder),
        image_sizes=tile_sizes(raw, net.config.vision.pixels.size_px),
        variant=str(raw.get("variant", folder.name)),
        fingerprint=fingerprint_weights(
            {"config": raw, "pixels": hashed_fields(net.config.vision.pixels)},
            net,
            weight_files(folder, files.folder),
        ),
    )


def _require_kv(latents: Latents) -> KvLatents:
    if not isinstance(latents, KvLatents):
        raise TypeError(f"latents must be keys and values, not {type(latents).__name__}")
    return latents
