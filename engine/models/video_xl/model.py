"""Video-XL: a Qwen2 decoder that folds each chunk of video into VST keys and values.

Paper arXiv:2409.14485; weights `sy1998/Video_XL` (subfolder `VideoXL_weight_8`); rules checked
against VectorSpaceLab/Video-XL at 6e3dc89 by the cases of `tests/golden/video_xl`.

Differs from upstream, each on purpose:
- A chunk that ends in a remainder gets a last VST; upstream drops the tokens behind the last one.
- The compression ratio belongs to a stream, and every random draw has a seed.
- Questions may recall any chunks, and may follow earlier turns or stand without video.
- Answers are greedy or plainly sampled: generation_config.json and its penalties are not read.
- Text that people type never turns into control tokens; rows beyond the vocabulary are cut off.
- Average pooling comes before the last linear layer of the projector, with which it commutes.
- Frame vectors come from a stand-alone CLIP with its text side, if the tower's folder holds one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.errors import MissingCapabilityError, WeightsError
from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.generate import generate, stepwise
from engine.models.layers.preprocess import PixelConfig, prepare
from engine.models.layers.tokenizer import QWEN, Tokenizer
from engine.models.layers.towers import TowerConfig, find_tower
from engine.models.layers.weights import fingerprint, read_config
from engine.models.tiny import write_byte_tokenizer
from engine.models.video_xl.net import KEY_MAP as KEY_MAP
from engine.models.video_xl.net import (
    VideoXlConfig,
    VideoXlNet,
    VisionConfig,
    initialise,
    load_net,
    save_net,
)
from engine.models.video_xl.net import build as build
from engine.models.video_xl.vst import (
    VstCache,
    fold,
    interleave,
    open_memory,
    prefill_prefix,
    survey,
)
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn
from engine.tensors import ChunkLatents, FrameBatch, KvLatents, Latents, Token, VisualTokens

VISION_BATCH = 32
"""Frames a pass of the tower: its activations, not the decoder's, would set the memory limit."""
SURVEY_TOKENS = 4096
"""Question tokens a pass when many candidates are surveyed side by side."""


def _tiny() -> VideoXlConfig:
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    tower |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    text = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "vocab_size": 264, "max_position_embeddings": 32}
    joint = TowerConfig(kind="clip", vision=tower, text=text, vector_dim=16)
    return VideoXlConfig(
        decoder=DecoderConfig(
            vocab_size=264,
            width=48,
            mlp_width=64,
            n_layers=3,
            n_heads=4,
            n_kv_heads=2,
            head_dim=12,
            rope_theta=1e6,
            qkv_bias=True,
            has_vst=True,
        ),
        chunk_tokens=16,
        compression_ratios=(2, 4, 8),
        eos_ids=(258,),
        vision=VisionConfig(
            tower=joint.vision_only(),
            joint=joint,
            pixels=PixelConfig(size_px=32, fit="squash"),
        ),
    )


VARIANTS = {"tiny": _tiny()}

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
        fps=1.0,
        note="trained at ratios 2, 4 and 8; 16 is extrapolation",
    ),
)


def write_tiny(folder: Path, *, seed: int = 0) -> None:
    """Write a complete checkpoint of the tiny variant with random weights, laid out as released.

    Args:
        folder: Made if missing.
        seed: Of the weights.
    """
    config = VARIANTS["tiny"]
    net = initialise(build(config, torch.device("cpu"), torch.float32), seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, n_shards=2, variant="tiny")
    write_byte_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    write_byte_tokenizer(
        folder / "clip", ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), framed=True
    )


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one of this family."""
    return "beacon_window" in config


class VideoXlStream:
    """The memory of one running video; opened by `VideoXl.open_stream`."""

    def __init__(self, memory: VstCache, compression_ratio: int) -> None:
        self.memory = memory
        self._compression_ratio = compression_ratio

    @property
    def compression_ratio(self) -> int:
        """Visual tokens per latent in this stream."""
        return self._compression_ratio

    @torch.inference_mode()
    def remember(self, latents: Latents) -> None:
        """Add a chunk exactly as it was stored; the oldest leave when the limit is passed."""
        self.memory.append((_own(latents),))


class VideoXl:
    """The family behind the engine's seam: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: VideoXlNet,
        tokenizer: Tokenizer,
        *,
        variant: str,
        joint_tokenizer: Tokenizer | None,
        seal: Fingerprint,
    ) -> None:
        assert net.config.vision is not None
        assert net.tower is not None
        self.net, self.tokenizer, self.joint_tokenizer = net, tokenizer, joint_tokenizer
        config, vision = net.config, net.config.vision
        weight = net.decoder.embed.weight
        self.device, self.dtype = weight.device, weight.dtype
        per_frame = (net.tower.grid // vision.pool_stride) ** 2
        sizes = config.decoder
        joint = net.joint or net.tower
        self.card = ModelCard(
            family="video_xl",
            variant=variant,
            fingerprint=seal,
            chunk_frames=config.chunk_tokens // per_frame,
            tokens_per_frame=per_frame,
            compression_ratio=config.compression_ratio,
            latent_bytes=2 * sizes.n_layers * sizes.n_kv_heads * sizes.head_dim * weight.itemsize,
            vector_dim=joint.config.vector_dim if joint.has_text else net.tower.width,
            max_positions=sizes.max_positions,
        )
        end = tokenizer.id_of("<|im_end|>")
        self._stop = frozenset(config.eos_ids) | (frozenset() if end is None else {end})
        with torch.inference_mode():
            self._sink = prefill_prefix(net.decoder, self._embed(QWEN.before_video(tokenizer)))

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Tower and projector, in small batches."""
        vision = self.net.config.vision
        assert vision is not None
        embeddings, vectors = [], []
        for pixels in torch.split(frames.pixels, VISION_BATCH):
            ready = prepare(pixels, vision.pixels).to(self.device, self.dtype)
            tokens, unit = self.net.visual_tokens(ready)
            embeddings.append(tokens)
            vectors.append(unit)
        return VisualTokens(
            embeddings=torch.cat(embeddings),
            frame_vectors=torch.cat(vectors).cpu(),
            pts_s=frames.pts_s,
        )

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
        memory = open_memory(
            self.net.decoder,
            self._sink,
            [_own(latents) for latents in past],
            n_more=2 * self.net.config.chunk_tokens,
            max_latents=max_past_latents,
        )
        return VideoXlStream(memory, ratio)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> KvLatents:
        """Fold the visual tokens of one chunk; a remainder gets a last VST of its own."""
        if not isinstance(stream, VideoXlStream):
            raise TypeError(f"stream must come from open_stream, not {type(stream).__name__}")
        rows = tokens.embeddings.flatten(0, 1)
        if not 0 < rows.shape[0] <= self.net.config.chunk_tokens:
            raise ValueError(
                f"tokens must be one chunk of at most {self.net.config.chunk_tokens} visual tokens,"
                f" not {rows.shape[0]}"
            )
        plan = interleave(rows.shape[0], stream.compression_ratio, is_closed=True)
        return fold(rows, stream.memory, plan)

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """A query as a unit vector in the space of frame vectors.

        Raises:
            MissingCapabilityError: The tower came without its text side.
        """
        tower = self.net.joint or self.net.tower
        assert tower is not None
        if not tower.has_text or self.joint_tokenizer is None:
            raise MissingCapabilityError(
                "this checkpoint cannot compare text with frames: its tower has no text side",
                hint="put the full CLIP folder (text model, projections, tokenizer) beside it",
            )
        ids = tower.text_ids(self.joint_tokenizer, text)
        return tower.embed_ids(torch.tensor(ids, device=self.device)).cpu()

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Mean attention mass of the question on each candidate, alone behind the sink.

        Candidates of other sizes are brought to the odds of a full chunk.
        """
        x = self._embed(QWEN.after_video(self.tokenizer, question))
        scores = torch.zeros(len(candidates))
        sizes: dict[int, list[int]] = {}
        for i, candidate in enumerate(candidates):
            sizes.setdefault(candidate.latents.n_latents, []).append(i)
        for size, places in sizes.items():
            n_side_by_side = max(1, SURVEY_TOKENS // x.shape[0])
            for start in range(0, len(places) if size else 0, n_side_by_side):
                some = places[start : start + n_side_by_side]
                chunks = [_own(candidates[i].latents) for i in some]
                mass = survey(self.net.decoder, self._sink, chunks, x)
                odds = mass / (1 - mass).clamp_min(1e-6) * (self.card.latents_per_chunk / size)
                scores[some] = (odds / (1 + odds)).cpu()
        return scores

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Answer from recalled chunks, in the order given, token by token."""
        decoder = self.net.decoder
        with torch.inference_mode():
            prompt = self._embed(QWEN.after_video(self.tokenizer, question, history))
            latents = [_own(chunk.latents) for chunk in recalled]
            n_more = prompt.shape[0] + sampling.max_tokens
            memory = open_memory(decoder, self._sink, latents, n_more=n_more)
        ends = list(accumulate((part.n_latents for part in latents), initial=self._sink.n))
        said = generate(
            decoder,
            memory.buffer,
            prompt,
            self.tokenizer,
            sampling,
            stop=self._stop,
            chunks=[range(start, end) for start, end in pairwise(ends)],
        )
        yield from stepwise(said)

    def _embed(self, ids: list[int]) -> Float[Tensor, "token width"]:
        embedded: Tensor = self.net.decoder.embed(torch.tensor(ids, device=self.device))
        return embedded


def load(
    folder: Path, device: torch.device, dtype: torch.dtype, *, tower: Path | None = None
) -> VideoXl:
    """A checkpoint folder as a model, ready to use.

    Raises:
        WeightsError: It does not fit, key by key.
    """
    net = load_net(folder, device, dtype, tower=tower)
    raw = read_config(folder)
    if net.config.vision is None:
        raise WeightsError(f"{folder} has no vision tower: config.json lacks mm_vision_tower")
    files = find_tower(folder, raw["mm_vision_tower"], tower)
    owner = net.joint or net.tower
    assert owner is not None
    reads = owner.has_text and files.folder is not None
    seal = fingerprint({"config": raw, "pixels": asdict(net.config.vision.pixels)}, net)
    return VideoXl(
        net,
        Tokenizer.load(folder),
        variant=str(raw.get("variant", folder.name)),
        joint_tokenizer=Tokenizer.load(files.folder) if reads and files.folder else None,
        seal=seal,
    )


def _own(latents: Latents) -> KvLatents:
    if not isinstance(latents, KvLatents):
        raise TypeError(f"latents must be keys and values, not {type(latents).__name__}")
    return latents
