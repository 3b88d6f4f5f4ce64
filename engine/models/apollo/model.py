"""Apollo: clips of four frames, seen by two towers and resampled to 128 tokens each.

Paper arXiv:2412.10360; weights `Apollo-LMMs/Apollo-{1_5B,3B,7B}-t32`, taken offline by their
authors and mirrored as `GoodiesHere/Apollo-LMMs-Apollo-{1_5B,3B,7B}-t32`. Rules checked against
the authors' code by the cases of `tests/golden/apollo`.

Every clip is resampled when it arrives and kept as `TokenLatents`, so an hour is covered whole.
The released way takes at most 84 clips of a file of known length; it is repeated by
`tests/support/released_apollo`.

Differs from upstream, each on purpose:
- Clips follow each other without gaps, at the rate of the stream; upstream spreads 84 of them
  (checked: the released clips, streamed one by one, answer as in the released way).
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

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models.apollo.checkpoint import KEY_MAP as KEY_MAP
from engine.models.apollo.checkpoint import SIGLIP, Folders, load_net, save_net
from engine.models.apollo.net import VARIANTS as VARIANTS
from engine.models.apollo.net import ApolloConfig, ApolloNet
from engine.models.apollo.net import build as build
from engine.models.apollo.prompts import TEMPLATE, introduce
from engine.models.layers.allocation import matrices_in
from engine.models.layers.fingerprint import fingerprint_weights, hashed_fields, weight_files
from engine.models.layers.preprocess import PixelConfig
from engine.models.layers.prompt_rows import Prompt
from engine.models.layers.text_image import (
    TextEncoder,
    find_published,
    joint_vectors,
    load_joint,
)
from engine.models.layers.tokenizer import Tokenizer
from engine.models.layers.weights import read_config
from engine.models.tiny import randomise, write_byte_tokenizer
from engine.models.token_model import TokenModel
from engine.protocols import Stream
from engine.records import Fingerprint, ModelCard, Release, Turn, WeightFormat
from engine.tensors import ChunkLatents, FrameBatch, TokenLatents, VisualTokens

CLIPS_PER_BATCH = 25
"""Upstream's `encode_batch_size`: bounds the towers' activations."""
LABEL_TOKENS = 20
"""Tokens that introduce a clip; Qwen2.5 takes 17 for `,\\n1234.5-1236.0 seconds: `: one a digit."""
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


def card_of(
    config: ApolloConfig,
    *,
    variant: str,
    fingerprint: Fingerprint,
    vector_dim: int,
    bytes_per_number: int = 2,
) -> ModelCard:
    """Describe a model of this shape: its costs and sizes, for which no weights are needed.

    Args:
        config: The shape.
        variant: Its name.
        fingerprint: Of its weights.
        vector_dim: Size of its frame vectors.
        bytes_per_number: Of the dtype that latents are kept in; 2 for bfloat16.
    """
    vision = config.vision
    n_queries, n_tokens = vision.connector.n_queries, vision.grid[0] * vision.tokens_per_frame
    return ModelCard(
        family="apollo",
        variant=variant,
        fingerprint=fingerprint,
        chunk_frames=vision.grid[0],
        tokens_per_frame=vision.tokens_per_frame,
        compression_ratio=max(1, n_tokens // n_queries),
        latent_bytes=config.decoder.width * bytes_per_number,
        vector_dim=vector_dim,
        # Each recalled clip brings text of its own, which nobody else counts.
        max_positions=config.max_positions * n_queries // (n_queries + LABEL_TOKENS),
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
            fingerprint=Fingerprint(""),
            vector_dim=VARIANTS[variant].vision.siglip.vision["hidden_size"],
        ),
        layer_parameters=VARIANTS[variant].decoder.layer_parameters,
        fps=2.0,
        towers=(f"google/{SIGLIP}",),
        note="taken offline by its authors; only re-uploads exist",
    )
    for variant, size, parameters, licence in (
        ("1_5b", "1_5B", "3.1B", "Apache-2.0 (tag of the re-uploads)"),
        ("3b", "3B", "4.6B", "Qwen research (tag of the re-uploads)"),
        ("7b", "7B", "9.3B", "Apache-2.0 (tag of the re-uploads)"),
    )
)


class Apollo(TokenModel):
    """Apollo as a `VideoModel`: weights and a tokenizer, nothing that changes."""

    def __init__(
        self,
        net: ApolloNet,
        tokenizer: Tokenizer,
        text_encoder: TextEncoder,
        *,
        variant: str,
        fingerprint: Fingerprint,
        joint_pixels: PixelConfig | None = None,
    ) -> None:
        card = card_of(
            net.config,
            variant=variant,
            fingerprint=fingerprint,
            bytes_per_number=net.decoder.embed.weight.itemsize,
            vector_dim=text_encoder.vector_dim,
        )
        stop = tokenizer.ends() | frozenset(net.config.eos_ids)
        super().__init__(net.decoder, tokenizer, text_encoder, card=card, stop=stop)
        self.net = net
        self.joint_pixels = joint_pixels or net.config.vision.siglip_pixels

    @torch.inference_mode()
    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Run towers and projection over clips, counted from the first frame given.

        The frames of a clip see each other, so batches may be cut between clips only.
        """
        n_frames, clip = len(frames.pts_s), self.card.chunk_frames
        # The towers see whole clips; what they make of the filler is dropped.
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
        grid, vectors = vision.encode_stills(still, with_vectors=self.net.joint is None)
        # clip frame row col width -> (clip frame) (row col) width
        features = vision.add_motion(grid, moving)
        tokens = vision.connector.project(features).flatten(2, 3).flatten(0, 1)
        if self.net.joint is not None:
            return tokens, joint_vectors(self.net.joint, frames, self.joint_pixels)
        assert vectors is not None
        return tokens, vectors.flatten(0, 1)

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

    def prompt(
        self, question: str, recalled: Sequence[ChunkLatents], history: Sequence[Turn] = ()
    ) -> Prompt:
        """Write the text around clips: their number and times, then the conversation."""
        return self.prompt_with(_labels(recalled), question, history)

    def prompt_with(
        self, labels: Sequence[str], question: str, history: Sequence[Turn] = ()
    ) -> Prompt:
        """Write the prompt around clips that are introduced by these labels."""
        # Without clips upstream starts the question right behind the user's role.
        opening = "\n\n" if labels else ""
        return Prompt(
            before=TEMPLATE.before_video(self.tokenizer),
            labels=[self.tokenizer.control(label) for label in labels],
            after=TEMPLATE.after_video(self.tokenizer, question, history, opening=opening),
        )


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    tower: Path | None = None,
    weights: WeightFormat = "native",
) -> Apollo:
    """Load a checkpoint folder as a model, ready to use.

    Args:
        folder: With config.json and a folder for each part.
        device: Where the weights go.
        dtype: What they are cast to.
        tower: The published SigLIP's folder, if it does not lie beside the parts or the checkpoint.
        weights: How the matrices of the decoder's layers are held.
    Raises:
        WeightsError: It does not fit, key by key.
    """
    with matrices_in(weights):
        net, parts, raw = load_net(folder, device, dtype), Folders.of(folder), read_config(folder)
    files = find_published(folder, parts.siglip.name, tower)
    if files is not None and not net.vision.siglip.has_text:
        net.vision.siglip, net.joint = load_joint(net.vision.siglip, files)
    net.requires_grad_(False)
    shape = {
        **hashed_fields(net.config),
        "joint_pixels": None if files is None else hashed_fields(files.pixels),
    }
    return Apollo(
        net,
        Tokenizer.load(parts.llm),
        TextEncoder(net.vision.siglip, net.joint, parts.siglip if files is None else files.folder),
        variant=str(raw.get("variant", folder.name)),
        fingerprint=fingerprint_weights(
            shape, net, weight_files(folder, None if files is None else files.folder)
        ),
        joint_pixels=None if files is None else files.pixels,
    )


def _labels(recalled: Sequence[ChunkLatents]) -> tuple[str, ...]:
    """Introduce each clip with the times of its first and last frame."""
    if not recalled:
        return ()
    spans = [chunk.ref.span for chunk in recalled]
    return introduce(
        [(float(chunk.pts_s[0]), float(chunk.pts_s[-1])) for chunk in recalled],
        clip_s=round(median(span.duration_s for span in spans), 1),
        duration_s=max(span.end_s for span in spans),
    )
