"""VideoLLaMA 2: convolutions over space and time before a Mistral or Qwen2 decoder, with ears.

A frame goes through the tower and the connector's first stage by itself; a chunk's frames are
then halved in time and space. A model that hears adds the sound of the same stretch: filter banks,
BEATs, a projector; audio tokens stand right behind the chunk's video tokens.

Paper arXiv:2406.07476; weights `DAMO-NLP-SG/VideoLLaMA2-7B`, `-7B-16F`, `VideoLLaMA2.1-7B-16F`,
`VideoLLaMA2.1-7B-AV`, `VideoLLaMA2-8x7B` (72B untried; the Mixtral decoder stands on transformers',
and its release was not at hand); rules checked against DAMO-NLP-SG/VideoLLaMA2 at
c0bb03a and 8cedfbd by the cases of `tests/golden/videollama2`.

Differs from upstream, each on purpose:
- A video is a run of chunks of as many frames as the model was trained with; upstream takes that
  many of a whole video, and drops all beyond 32 (checked: ingest covers every sampled frame).
- A chunk hears its own stretch, so that sound and frames belong together; upstream joins eight
  stretches of 2 s of the whole track to any frames (checked: `test_sound_stands_with_its_chunk`).
- Long sound, odd last frames: see `net`.
- A question that spells a control token gets it parted by a space.
- Frame vectors come from a stand-alone tower with its text side, if one lies beside the weights.
Kept: a missing track is silence, and is heard; wide frames are cut or squashed, not padded.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from engine.models import tiny
from engine.models.layers.allocation import matrices_in
from engine.models.layers.expert_budget import ExpertBudget
from engine.models.layers.fingerprint import fingerprint_weights, hashed_fields, weight_files
from engine.models.layers.preprocess import fit, prepare
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.text_image import TextEncoder, encode_in_batches, load_joint
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.towers import Tower, TowerConfig, pixels_of
from engine.models.layers.weights import read_config
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import TokenModel
from engine.models.videollama2.beats import BeatsConfig
from engine.models.videollama2.checkpoint import KEY_MAP, TOWER_NAME, find_files, load_net, save_net
from engine.models.videollama2.net import HearingConfig, VideoLlama2Config, VideoLlama2Net, build
from engine.models.videollama2.prompts import LAYOUTS, MISTRAL_SYSTEM, VIDEO_TAG, user_text
from engine.protocols import Stream
from engine.records import Fingerprint, ModelCard, Release, Turn, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, TokenLatents, VisualTokens

__all__ = ["KEY_MAP", "VARIANTS", "VideoLlama2", "build", "load", "write_tiny"]

_TINY_TOWER = TowerConfig(kind="siglip", vision=tiny.VISION)
VARIANTS = {
    "tiny": VideoLlama2Config(
        decoder=tiny.DECODER,
        tower=_TINY_TOWER,
        pixels=pixels_of(_TINY_TOWER),
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
}

BEST_AT = "sound and picture together; short events that convolution over time keeps"
_CLIP, _SIGLIP = "openai/clip-vit-large-patch14-336", "google/siglip-so400m-patch14-384"
_MIXTURE = "a mixture of 256 experts of 352 MB; a budget may hold some of them"
"""32 layers of 8, each of three matrices of 4096 x 14336 in 16 bits."""
_MIXED = ("VideoLLaMA2-8x7B",)
_EXPERTS = 32 * 3 * 4096 * 14_336
"""Weights of one expert in all layers, which are those of Mistral's MLP."""
_MISTRAL = 32 * (2 * 4096**2 + 2 * 4096 * 1024) + _EXPERTS
_QWEN2 = 28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18_944)
RELEASES = tuple(
    Release(
        repository=f"DAMO-NLP-SG/{name}",
        parameters=parameters,
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
        layer_parameters=_QWEN2 if width == 3584 else _MISTRAL + (name in _MIXED) * 7 * _EXPERTS,
        expert_parameters=8 * _EXPERTS if name in _MIXED else 0,
        fps=1.0,
        towers=(tower,),
        note=note,
    )
    for name, parameters, n_frames, per_frame, n_latents, width, dim, tower, note in (
        ("VideoLLaMA2-7B", "8B", 8, 576, 845, 4096, 768, _CLIP, ""),
        ("VideoLLaMA2-7B-16F", "8B", 16, 576, 1521, 4096, 768, _CLIP, ""),
        ("VideoLLaMA2-8x7B", "47.5B", 8, 576, 845, 4096, 768, _CLIP, _MIXTURE),
        ("VideoLLaMA2.1-7B-16F", "8B", 16, 729, 1352, 3584, 1152, _SIGLIP, ""),
        ("VideoLLaMA2.1-7B-AV", "8B", 16, 729, 1352 + 1496, 3584, 1152, _SIGLIP, ""),
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
    text = tiny.text_config(32, 48, **tiny.SPECIAL_IDS)
    whole = Tower(TowerConfig(kind="siglip", vision=config.tower.vision, text=text, vector_dim=32))
    randomise(whole, seed=seed + 1)
    # Towers stay frozen in training, so a checkpoint holds the released vision weights.
    whole.vision_model.load_state_dict(net.tower.vision_model.state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    save_net(net, folder, variant="tiny", tower=whole, n_shards=2)
    write_byte_tokenizer(folder, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    write_byte_tokenizer(folder / TOWER_NAME, ("<pad>", "<s>", "</s>"), framed=True)


class VideoLlama2(TokenModel):
    """VideoLLaMA 2 as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: VideoLlama2Net,
        tokenizer: Tokenizer,
        text_encoder: TextEncoder,
        *,
        variant: str,
        fingerprint: Fingerprint,
    ) -> None:
        config = net.config
        patches = config.chunk_frames * net.tower.grid**2
        card = ModelCard(
            family="videollama2",
            variant=variant,
            fingerprint=fingerprint,
            chunk_frames=config.chunk_frames,
            tokens_per_frame=net.tower.grid**2,
            compression_ratio=max(1, patches // net.latents_per_chunk),
            latent_bytes=config.decoder.width * net.decoder.embed.weight.itemsize,
            vector_dim=text_encoder.vector_dim,
            max_positions=config.decoder.max_positions,
            wants_audio=config.hearing is not None,
            fixed_latents=net.latents_per_chunk,
        )
        super().__init__(net.decoder, tokenizer, text_encoder, card=card, stop=tokenizer.ends())
        self.net = net
        self._silence = self._hear_silence()

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run tower and first stage over single frames, and hear the sound of the same stretch.

        Frames without pixels stand for moments of sound alone; their vectors are all the same.
        """
        if frames.pixels.numel():
            tokens, vectors = encode_in_batches(frames.pixels, self._encode)
        else:
            n_frames, dim = len(frames.pts_s), self.card.vector_dim
            shape = (n_frames, 0, self.net.config.decoder.width)
            tokens = torch.zeros(shape, device=self.device, dtype=self.dtype)
            # One unit vector for all: search by picture cannot tell these moments apart.
            vectors = torch.full((n_frames, dim), dim**-0.5)
        return VisualTokens(
            embeddings=tokens, frame_vectors=vectors, pts_s=frames.pts_s, audio=self._hear(frames)
        )

    def _encode(
        self, frames: UInt8[Tensor, "frame 3 h w"]
    ) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
        ready = prepare(frames, self.net.config.pixels, self.device)
        return self.net.visual_tokens(ready.to(self.dtype))

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Bring frames to the tower's size; moments of sound alone have no pixels."""
        if not frames.pixels.numel():
            return frames
        return replace(frames, pixels=fit(frames.pixels, self.net.config.pixels))

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> TokenLatents:
        """Compress one chunk's frames; its audio tokens, or those of silence, stand behind them."""
        n_frames, max_frames = tokens.embeddings.shape[0], self.net.config.chunk_frames
        if n_frames > max_frames:
            raise ValueError(
                f"tokens must be one chunk of at most {max_frames} frames, not {n_frames}"
            )
        parts = [self.net.compress(tokens.embeddings)] if tokens.embeddings.numel() else []
        audio = self._silence if tokens.audio is None else tokens.audio
        if audio is not None:
            parts.append(audio)
        if not parts:
            raise ValueError("tokens must hold at least one frame, or sound for a model that hears")
        return TokenLatents(embeddings=torch.cat(parts))

    def prompt(
        self, question: str, recalled: Sequence[ChunkLatents], history: Sequence[Turn] = ()
    ) -> Prompt:
        """Encode the text on either side of the tag by itself, as upstream does."""
        part = self.tokenizer.part_controls
        turns = [Turn(question=part(t.question), answer=part(t.answer)) for t in history]
        text = self._conversation(part(question), turns)
        before, _, after = text.partition(VIDEO_TAG)
        return Prompt(before=self.tokenizer.control(before), after=self.tokenizer.control(after))

    def _conversation(self, question: str, history: Sequence[Turn]) -> str:
        """Write a conversation by the tokenizer's own template, else by the released layout."""
        is_qwen = self.net.config.is_qwen
        questions = [turn.question for turn in history] + [question]
        # The tag of the video goes into the first turn, wherever the conversation stands now.
        questions[0] = user_text(questions[0])
        messages = [] if is_qwen else [{"role": "system", "content": MISTRAL_SYSTEM}]
        for idx, text in enumerate(questions):
            messages.append({"role": "user", "content": text})
            if idx < len(history):
                messages.append({"role": "assistant", "content": history[idx].answer})
        rendered = self.tokenizer.conversation(messages)
        layout = LAYOUTS["qwen" if is_qwen else "mistral"]
        return layout.render(question, history=history) if rendered is None else rendered

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
    experts: ExpertBudget | None = None,
    weights: WeightFormat = "native",
) -> VideoLlama2:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json, weights and tokenizer.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The stand-alone tower's folder, if not the one that the config names.
        base: The model that adapters, or a connector alone, were trained on.
        experts: Bytes of a mixture's experts that stay near; `None` holds all on the device.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net = load_net(folder, device, dtype, tower=tower, base=base, experts=experts)
    files = find_files(folder, tower)
    if files is not None:
        net.tower, net.joint = load_joint(net.tower, files)
    raw = read_config(folder)
    return VideoLlama2(
        net,
        Tokenizer.load(folder),
        TextEncoder(net.tower, net.joint, None if files is None else files.folder),
        variant=str(raw.get("variant", folder.name)),
        fingerprint=fingerprint_weights(
            {"config": raw, "pixels": hashed_fields(net.config.pixels)},
            net,
            weight_files(folder, None if files is None else files.folder, base),
            read=None if net.expert_files is None else net.expert_files.parameter,
        ),
    )
