"""VideoLLaMA 2: convolutions over space and time before a Mistral or Qwen2 decoder, with ears.

A frame goes through the tower and the connector's first stage by itself; a chunk's frames are
then halved in time and space. A model that hears adds the sound of the same stretch: filter banks,
BEATs, a projector; audio tokens stand right behind the chunk's video tokens.

Paper arXiv:2406.07476; weights `DAMO-NLP-SG/VideoLLaMA2-7B`, `-7B-16F`, `VideoLLaMA2.1-7B-16F`,
`VideoLLaMA2.1-7B-AV` (Mixtral and 72B untried); rules checked against DAMO-NLP-SG/VideoLLaMA2 at
c0bb03a and 8cedfbd by the cases of `tests/golden/videollama2`.

Differs from upstream, each on purpose:
- A video is a run of chunks of as many frames as the model was trained with; upstream takes that
  many of a whole video, and drops all beyond 32 (checked: ingest covers every sampled frame).
- A chunk hears its own stretch, so that sound and frames belong together; upstream joins eight
  stretches of 2 s of the whole track to any frames (checked: `test_sound_stands_with_its_chunk`).
- Long sound, odd last frames: see `_videollama2_net`.
- A question that spells a control token gets it parted by a space.
- Frame vectors come from a stand-alone tower with its text side, if one lies beside the weights.
Kept: a missing track is silence, and is heard; wide frames are cut or squashed, not padded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models import token_model
from engine.models.layers.decoder import DecoderConfig
from engine.models.layers.preprocess import prepare
from engine.models.layers.text_image import TextEncoder, load_joint
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower, TowerConfig, pixels_of
from engine.models.layers.weights import fingerprint, read_config
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import Prompt, TokenStream
from engine.models.videollama2.beats import BeatsConfig
from engine.models.videollama2.checkpoint import KEY_MAP, TOWER_NAME, find_files, load_net, save_net
from engine.models.videollama2.net import HearingConfig, VideoLlama2Config, VideoLlama2Net, build
from engine.models.videollama2.prompts import LAYOUTS, MISTRAL_SYSTEM, VIDEO_TAG, user_text
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn
from engine.tensors import ChunkLatents, FrameBatch, Latents, Token, TokenLatents, VisualTokens

__all__ = ["KEY_MAP", "VARIANTS", "VideoLlama2", "build", "load", "recognises", "write_tiny"]

VISION_BATCH = 32
"""Frames a pass of the tower: its activations, not the decoder's, would set the memory limit."""


def _tiny() -> VideoLlama2Config:
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
    vision |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    tower = TowerConfig(kind="siglip", vision=vision)
    return VideoLlama2Config(
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
        ),
        tower=tower,
        pixels=pixels_of(tower),
        connector="stc_connector_v35",
        chunk_frames=4,
        hearing=HearingConfig(
            tower=BeatsConfig(
                embed_dim=16,
                encoder_layers=2,
                encoder_embed_dim=32,
                encoder_ffn_embed_dim=48,
                encoder_attention_heads=4,
                conv_pos=16,
                conv_pos_groups=4,
                num_buckets=32,
                max_distance=64,
            ),
            window_s=5.0,
        ),
        is_qwen=True,
    )


VARIANTS = {"tiny": _tiny()}

BEST_AT = "sound and picture together; short events that convolution over time keeps"
RELEASES = tuple(
    Release(
        repository=f"DAMO-NLP-SG/{name}",
        parameters="8B",
        licence="code Apache-2.0, weights for research only",
        card=ModelCard(
            family="videollama2",
            variant=name,
            fingerprint=Fingerprint(""),
            chunk_frames=n_frames,
            tokens_per_frame=per_frame,
            compression_ratio=per_frame * n_frames // n_latents,
            latent_bytes=2 * width,
            vector_dim=dim,
            max_positions=32_768,
            wants_audio=name.endswith("AV"),
            fixed_latents=n_latents,
        ),
        fps=1.0,
    )
    for name, n_frames, per_frame, n_latents, width, dim in (
        ("VideoLLaMA2-7B", 8, 576, 845, 4096, 768),
        ("VideoLLaMA2-7B-16F", 16, 576, 1521, 4096, 768),
        ("VideoLLaMA2.1-7B-16F", 16, 729, 1352, 3584, 1152),
        ("VideoLLaMA2.1-7B-AV", 16, 729, 1352 + 1496, 3584, 1152),
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
    randomise(net, seed=seed)
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "vocab_size": 264, "max_position_embeddings": 32}
    text |= {"bos_token_id": 257, "eos_token_id": 258, "pad_token_id": 256}
    whole = Tower(TowerConfig(kind="siglip", vision=config.tower.vision, text=text, vector_dim=32))
    randomise(whole, seed=seed + 1)
    # Towers stay frozen in training, so a checkpoint holds the released vision weights.
    whole.vision_model.load_state_dict(net.tower.vision_model.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant="tiny", tower=whole, n_shards=2)
    write_byte_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    write_byte_tokenizer(folder / TOWER_NAME, ("<pad>", "<s>", "</s>"), framed=True)


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one of this family; early ones call themselves `mistral`."""
    model_type = str(config.get("model_type", ""))
    return model_type.startswith("videollama2") or (
        model_type == "mistral" and "mm_projector_type" in config
    )


class VideoLlama2:
    """The family behind the engine's seam: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: VideoLlama2Net,
        tokenizer: Tokenizer,
        text_side: TextEncoder,
        *,
        variant: str,
        seal: Fingerprint,
    ) -> None:
        self.net, self.tokenizer, self.text_side = net, tokenizer, text_side
        config, weight = net.config, net.decoder.embed.weight
        self.device, self.dtype = weight.device, weight.dtype
        patches = config.chunk_frames * net.tower.grid**2
        self.card = ModelCard(
            family="videollama2",
            variant=variant,
            fingerprint=seal,
            chunk_frames=config.chunk_frames,
            tokens_per_frame=net.tower.grid**2,
            compression_ratio=max(1, patches // net.latents_per_chunk),
            latent_bytes=config.decoder.width * weight.itemsize,
            vector_dim=text_side.vector_dim,
            max_positions=config.decoder.max_positions,
            wants_audio=config.hearing is not None,
            fixed_latents=net.latents_per_chunk,
        )
        self._stop = tokenizer.ends()
        self._silence = self._hear_silence()

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Tower and first stage over single frames, in small batches; the sound beside them.

        Frames without pixels stand for moments of sound alone; their vectors are all the same.
        """
        tokens, vectors = [], []
        for pixels in torch.split(frames.pixels, VISION_BATCH) if frames.pixels.numel() else ():
            ready = prepare(pixels, self.net.config.pixels).to(self.device, self.dtype)
            seen, unit = self.net.visual_tokens(ready)
            tokens.append(seen)
            vectors.append(unit)
        audio = self._hear(frames)
        if tokens:
            seen, unit = torch.cat(tokens), torch.cat(vectors).cpu()
        else:
            n_frames, dim = len(frames.pts_s), self.card.vector_dim
            shape = (n_frames, 0, self.net.config.decoder.width)
            seen = torch.zeros(shape, device=self.device, dtype=self.dtype)
            unit = torch.full((n_frames, dim), dim**-0.5)
        return VisualTokens(embeddings=seen, frame_vectors=unit, pts_s=frames.pts_s, audio=audio)

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> TokenStream:
        """Start or resume a video; chunks do not look back.

        Raises:
            ValueError: Another ratio than the connector's, which its weights fix.
        """
        own = self.card.compression_ratio
        if compression_ratio not in (None, own):
            raise ValueError(f"compression_ratio must be {own}, not {compression_ratio}")
        return TokenStream(own)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> TokenLatents:
        """Fold one chunk's frames; its audio tokens, or those of silence, stand behind them."""
        n_frames, n_most = tokens.embeddings.shape[0], self.net.config.chunk_frames
        if n_frames > n_most:
            raise ValueError(f"tokens must be one chunk of at most {n_most} frames, not {n_frames}")
        parts = [self.net.fold(tokens.embeddings)] if tokens.embeddings.numel() else []
        heard = self._silence if tokens.audio is None else tokens.audio
        if heard is not None:
            parts.append(heard)
        if not parts:
            raise ValueError("tokens must hold at least one frame, or sound for a model that hears")
        return TokenLatents(embeddings=torch.cat(parts))

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """A query as a unit vector in the space of frame vectors."""
        return self.text_side.embed(text)

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Mean attention of the question on each candidate, alone behind the prompt's opening."""
        full = self.card.latents_per_chunk
        prompt = self._prompt(question)
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
        yield from token_model.answer(
            self.net.decoder,
            self._prompt(question, history),
            recalled,
            self.tokenizer,
            sampling,
            stop=self._stop,
        )

    def _prompt(self, question: str, history: Sequence[Turn] = ()) -> Prompt:
        """Ids around the first tag; each side is encoded by itself, as upstream does."""
        part = self.tokenizer.part_controls
        turns = [Turn(question=part(t.question), answer=part(t.answer)) for t in history]
        text = self._conversation(part(question), turns)
        before, _, after = text.partition(VIDEO_TAG)
        return Prompt(before=self.tokenizer.control(before), after=self.tokenizer.control(after))

    def _conversation(self, question: str, history: Sequence[Turn]) -> str:
        is_qwen = self.net.config.is_qwen
        asked = [turn.question for turn in history] + [question]
        asked[0] = user_text(asked[0])
        messages = [] if is_qwen else [{"role": "system", "content": MISTRAL_SYSTEM}]
        for idx, text in enumerate(asked):
            messages.append({"role": "user", "content": text})
            if idx < len(history):
                messages.append({"role": "assistant", "content": history[idx].answer})
        written = self.tokenizer.conversation(messages)
        layout = LAYOUTS["qwen" if is_qwen else "mistral"]
        return layout.render(question, history=history) if written is None else written

    def _hear(self, frames: FrameBatch) -> Float[Tensor, "audio_token width"] | None:
        if self.net.config.hearing is None or frames.audio is None:
            return None
        return self.net.hear(frames.audio.samples)

    @torch.inference_mode()
    def _hear_silence(self) -> Float[Tensor, "audio_token width"] | None:
        hearing = self.net.config.hearing
        return None if hearing is None else self.net.hear(torch.zeros(hearing.window_samples))


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    base: Path | None = None,
) -> VideoLlama2:
    """A checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The stand-alone tower's folder, if not the one that the config names.
        base: The model that adapters, or a connector alone, were trained on.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    net = load_net(folder, device, dtype, tower=tower, base=base)
    files = find_files(folder, tower)
    if files is not None:
        net.tower, net.joint = load_joint(net.tower, files)
    raw = read_config(folder)
    return VideoLlama2(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, net.joint, None if files is None else files.folder),
        variant=str(raw.get("variant", folder.name)),
        seal=fingerprint({"config": raw, "pixels": asdict(net.config.pixels)}, net),
    )
