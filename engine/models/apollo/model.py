"""Apollo: clips of four frames, seen by two towers and resampled to 128 tokens each.

Paper arXiv:2412.10360; weights `Apollo-LMMs/Apollo-{1_5B,3B,7B}-t32`, taken offline by their
authors and mirrored as `GoodiesHere/Apollo-LMMs-Apollo-{1_5B,3B,7B}-t32`. Rules checked against
the authors' code by the cases of `tests/golden/apollo`.

Every clip is resampled when it arrives and kept as `TokenLatents`, so an hour is covered whole.
The released way, at most 84 clips of a file of known length, is `Apollo.answer_file`.

Differs from upstream, each on purpose:
- Clips follow each other without gaps, at the rate of the stream; upstream spreads 84 of them
  (checked: the released clips, streamed one by one, answer like `answer_file`).
- A last clip of fewer frames is kept, its last frame repeated; upstream's loader drops what is left
  over behind the last four (checked: equal to the repeated frame in all that sees frames alone).
- The prompt gives the length of what was recalled, since a stream has no end, and the real length
  of a clip (checked: at the released 2 frames a second its ids are upstream's, one for one).
- The generation config of the release repeats less and draws from the top 20 tokens unasked;
  here only `Sampling` decides (from its file sizes; its contents were never seen).
- Text that people type never turns into placeholders or control tokens (checked by spelling both).
- Frame vectors are SigLIP's pooled ones. Apollo trained its SigLIP on and left the text side out:
  the published one, put beside the checkpoint, gives vectors of frames and texts in one space
  (checked against transformers from the same folder).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models import token_model
from engine.models.apollo.checkpoint import KEY_MAP as KEY_MAP
from engine.models.apollo.checkpoint import Folders, load_net, save_net
from engine.models.apollo.clips import ClipSampling, introduce
from engine.models.apollo.net import VARIANTS as VARIANTS
from engine.models.apollo.net import ApolloConfig, ApolloNet
from engine.models.apollo.net import build as build
from engine.models.layers import preprocess
from engine.models.layers.generate import generate
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.text_image import TextEncoder, load_joint
from engine.models.layers.tokenizer import ChatTemplate, Tokenizer
from engine.models.layers.towers import TowerFiles, find_tower
from engine.models.layers.weights import fingerprint, read_config
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import Prompt, TokenStream
from engine.protocols import Sampling, Stream
from engine.records import Fingerprint, ModelCard, Release, Turn
from engine.tensors import ChunkLatents, FrameBatch, Latents, Token, TokenLatents, VisualTokens

CLIPS_PER_BATCH = 25
"""Upstream's `encode_batch_size`: bounds the towers' activations."""
WORDS_OF_CLIP = 20
"""Tokens that introduce a clip; Qwen2.5 takes 17 for `,\\n1234.5-1236.0 seconds: `: one a digit."""
TEMPLATE = ChatTemplate(
    system="<|im_start|>system\n\nYou are a helpful vision-language assistant.<|im_end|>\n",
    user="<|im_start|>user\n",
    assistant="<|im_start|>assistant\n",
    end="<|im_end|>\n",
)
"""Upstream's "qwen_2", with the empty line behind "system" that the release was trained with."""
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


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
    parts = Folders.of(folder)
    write_byte_tokenizer(parts.llm, CONTROL)
    write_byte_tokenizer(parts.siglip, CONTROL, framed=True)


def recognises(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is one of this family."""
    return config.get("model_type") == "apollo"


def card_of(
    config: ApolloConfig,
    *,
    variant: str,
    seal: Fingerprint,
    vector_dim: int,
    bytes_per_number: int = 2,
) -> ModelCard:
    """What a model of this shape costs and promises; needs no weights.

    Args:
        config: The shape.
        variant: Its name.
        seal: Of its weights.
        vector_dim: Size of its frame vectors.
        bytes_per_number: Of the dtype that latents are kept in; 2 for bfloat16.
    """
    vision = config.vision
    n_queries, n_tokens = vision.connector.n_queries, vision.grid[0] * vision.tokens_per_frame
    return ModelCard(
        family="apollo",
        variant=variant,
        fingerprint=seal,
        chunk_frames=vision.grid[0],
        tokens_per_frame=vision.tokens_per_frame,
        compression_ratio=max(1, n_tokens // n_queries),
        latent_bytes=config.decoder.width * bytes_per_number,
        vector_dim=vector_dim,
        # Each recalled clip brings words of its own, which nobody else counts.
        max_positions=config.max_positions * n_queries // (n_queries + WORDS_OF_CLIP),
        fixed_latents=n_queries,
    )


BEST_AT = "what moves: two towers, clips of two seconds with their times in the prompt"
RELEASES = tuple(
    Release(
        repository=f"Apollo-LMMs/Apollo-{size}-t32",
        parameters=parameters,
        licence=licence,
        card=card_of(
            VARIANTS[variant],
            variant=variant,
            seal=Fingerprint(""),
            vector_dim=VARIANTS[variant].vision.siglip.vision["hidden_size"],
        ),
        fps=2.0,
        note="taken offline by its authors; only re-uploads exist",
    )
    for variant, size, parameters, licence in (
        ("1_5b", "1_5B", "3.1B", "Apache-2.0 (tag of the re-uploads)"),
        ("3b", "3B", "4.6B", "Qwen research (tag of the re-uploads)"),
        ("7b", "7B", "9.3B", "Apache-2.0 (tag of the re-uploads)"),
    )
)


class Apollo:
    """The family behind the engine's seam."""

    def __init__(
        self,
        net: ApolloNet,
        tokenizer: Tokenizer,
        text_side: TextEncoder,
        *,
        variant: str,
        seal: Fingerprint,
        joint_pixels: PixelConfig | None = None,
    ) -> None:
        self.net, self.tokenizer, self.text_side = net, tokenizer, text_side
        self.joint_pixels = joint_pixels or net.config.vision.siglip_pixels
        self.card = card_of(
            net.config,
            variant=variant,
            seal=seal,
            bytes_per_number=net.decoder.embed.weight.itemsize,
            vector_dim=text_side.vector_dim,
        )
        self._stop = tokenizer.ends() | frozenset(net.config.eos_ids)

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Towers and projection over clips, counted from the first frame given.

        The frames of a clip see each other, so batches may be cut between clips only.
        """
        n_frames, clip = len(frames.pts_s), self.card.chunk_frames
        missing = -n_frames % clip
        filler = frames.pixels[-1:].expand(missing, -1, -1, -1)
        filled = torch.cat([frames.pixels, filler])
        parts = [self._encode(batch) for batch in torch.split(filled, CLIPS_PER_BATCH * clip)]
        return VisualTokens(
            embeddings=torch.cat([tokens for tokens, _ in parts])[:n_frames],
            frame_vectors=torch.cat([vectors for _, vectors in parts])[:n_frames].cpu(),
            pts_s=frames.pts_s,
        )

    def _encode(
        self, frames: Tensor
    ) -> tuple[Float[Tensor, "frame patch width"], Float32[Tensor, "frame dim"]]:
        vision = self.net.vision
        still, moving = vision.prepare(frames)
        grid, vectors = vision.see_frames(still, with_vectors=self.net.joint is None)
        # clip frame row col width -> (clip frame) (row col) width
        features = vision.add_motion(grid, moving)
        tokens = vision.connector.project(features).flatten(2, 3).flatten(0, 1)
        if self.net.joint is not None:
            alone = preprocess.prepare(frames, self.joint_pixels).to(tokens)
            _, vectors = self.net.joint.run(alone, -1, with_vectors=True)
            assert vectors is not None
            return tokens, vectors
        assert vectors is not None
        return tokens, vectors.flatten(0, 1)

    def open_stream(
        self,
        past: Sequence[Latents] = (),
        *,
        compression_ratio: int | None = None,
        max_past_latents: int | None = None,
    ) -> TokenStream:
        """A stream; the connector's queries fix its ratio, and no clip looks back.

        Raises:
            ValueError: Another ratio than the card's.
        """
        ratio = self.card.compression_ratio
        if compression_ratio not in (None, ratio):
            raise ValueError(
                f"apollo makes {self.card.fixed_latents} latents of every clip: compression_ratio "
                f"is {ratio}, not {compression_ratio}"
            )
        return TokenStream(ratio)

    @torch.inference_mode()
    def compress(self, tokens: VisualTokens, stream: Stream) -> TokenLatents:
        """Resample one clip to the connector's queries; a short one repeats its last frame."""
        n_frames = len(tokens.embeddings)
        if not 0 < n_frames <= self.card.chunk_frames:
            raise ValueError(f"a clip has 1 to {self.card.chunk_frames} frames, not {n_frames}")
        # Differs from upstream: InternVideo2 saw the repeated frames too, but what it made of them
        # is taken from the last own frame. SigLIP's channels agree exactly: a test says so.
        last = tokens.embeddings[-1:].expand(self.card.chunk_frames - n_frames, -1, -1)
        context = torch.cat([tokens.embeddings, last]).flatten(0, 1)[None]
        return TokenLatents(embeddings=self.net.vision.connector.resampler(context)[0])

    @torch.inference_mode()
    def embed_text(self, text: str) -> Float32[Tensor, " dim"]:
        """A query in SigLIP's joint space.

        Raises:
            MissingCapabilityError: No SigLIP with a text side is at hand, as released.
        """
        return self.text_side.embed(text)

    @torch.inference_mode()
    def attend(
        self, question: str, candidates: Sequence[ChunkLatents]
    ) -> Float32[Tensor, " chunk"]:
        """Attention of the question on each candidate, alone behind the prompt prefix."""
        prompt = self._prompt(("",), question)
        full = self.card.latents_per_chunk
        return token_model.attend(self.net.decoder, prompt, candidates, full_latents=full)

    @torch.inference_mode()
    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Answer from clips, each behind the seconds that it shows."""
        yield from token_model.answer(
            self.net.decoder,
            self.prompt(question, recalled, history),
            recalled,
            self.tokenizer,
            sampling,
            stop=self._stop,
        )

    @torch.inference_mode()
    def answer_file(
        self,
        question: str,
        read: Callable[[Sequence[int]], FrameBatch],
        n_frames: int,
        fps: float,
        sampling: Sampling,
    ) -> Iterator[Token]:
        """Answer about a file of known length the released way: at most 84 clips, nothing kept.

        Args:
            question: What is asked.
            read: Hands out the frames of these numbers, repeated ones as often as asked for.
            n_frames: Frames of the file.
            fps: Their mean rate.
            sampling: How tokens are drawn.
        """
        vision, decoder = self.net.config.vision, self.net.decoder
        budget = ClipSampling(
            frames_per_clip=vision.grid[0],
            tokens_per_clip=vision.connector.n_queries,
            max_positions=self.net.config.max_positions,
        )
        stream, clips, spans = self.open_stream(), list[Tensor](), list[tuple[float, float]]()
        for numbers in budget.clips(n_frames, fps):
            frames = read(numbers)
            clips.append(self.compress(self.encode(frames), stream).embeddings)
            spans.append((float(frames.pts_s[0]), float(frames.pts_s[-1])))
        words = introduce(spans, clip_s=budget.clip_s, duration_s=n_frames / fps)
        prompt = self._prompt(words, question)
        memory, chunks = token_model.place(decoder, prompt, clips)
        rows = token_model.embed_ids(decoder, prompt.after)
        yield from generate(
            decoder, memory, rows, self.tokenizer, sampling, stop=self._stop, chunks=chunks
        )

    def prompt(
        self, question: str, recalled: Sequence[ChunkLatents], history: Sequence[Turn] = ()
    ) -> Prompt:
        """The words around clips: their number and times, then the conversation."""
        return self._prompt(_words(recalled), question, history)

    def _prompt(self, words: Sequence[str], question: str, history: Sequence[Turn] = ()) -> Prompt:
        opening = "\n\n" if words else ""
        return Prompt(
            before=TEMPLATE.before_video(self.tokenizer),
            labels=[self.tokenizer.control(each) for each in words],
            after=TEMPLATE.after_video(self.tokenizer, question, history, opening=opening),
        )


def load(
    folder: Path, device: torch.device, dtype: torch.dtype, *, tower: Path | None = None
) -> Apollo:
    """A checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json and a folder for each part.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The published SigLIP's folder, if it does not lie beside the parts or the checkpoint.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    net, parts, raw = load_net(folder, device, dtype), Folders.of(folder), read_config(folder)
    files = _published(folder, parts.siglip.name, tower)
    if files is not None and not net.vision.siglip.has_text:
        net.vision.siglip, net.joint = load_joint(net.vision.siglip, files)
    net.requires_grad_(False)
    shape = {**asdict(net.config), "joint_pixels": None if files is None else asdict(files.pixels)}
    return Apollo(
        net,
        Tokenizer.load(parts.llm),
        TextEncoder(net.vision.siglip, net.joint, parts.siglip if files is None else files.folder),
        variant=str(raw.get("variant", folder.name)),
        seal=fingerprint(shape, net),
        joint_pixels=None if files is None else files.pixels,
    )


def _published(folder: Path, name: str, given: Path | None) -> TowerFiles | None:
    """SigLIP with its text side, as its authors published it; `None` where it is not at hand."""
    is_beside = any((home / name / "config.json").is_file() for home in (folder, folder.parent))
    if given is None and not is_beside:
        return None
    files = find_tower(folder, name, given)
    return files if files.config.text is not None else None


def _words(recalled: Sequence[ChunkLatents]) -> tuple[str, ...]:
    """What stands before each clip; times are those of its first and last frame."""
    if not recalled:
        return ()
    spans = [chunk.ref.span for chunk in recalled]
    return introduce(
        [(float(chunk.pts_s[0]), float(chunk.pts_s[-1])) for chunk in recalled],
        clip_s=round(median(span.duration_s for span in spans), 1),
        duration_s=max(span.end_s for span in spans),
    )
