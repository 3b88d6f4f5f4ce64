"""The CLIP pair learns frames and texts in one space, and every fact in its patch features.

Two losses at once. Contrastive: a text must find every frame that fits it and no other, real
footage and distractors included. Read-out: linear heads must name the facts of a frame from its
four pooled penultimate tokens, because those are all that the decoder will ever see of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int16, UInt8
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from engine.models.layers.preprocess import CLIP_MEAN, CLIP_STD
from engine.training.nano.captions import FIELDS, KIND_NAMES, N_VALUES, Phrase, phrase_for
from engine.training.nano.frame_bank import SIDE_PX

PATCH_PX: Final = 16
QUERY_TOKENS: Final = 40
VECTOR_DIM: Final = 128
_MOST_SCALE: Final = 60.0
"""Upper end of the learnt temperature; the CLIP paper caps it too, at 100."""
_JITTER_SHARE: Final = 0.3
"""Part of the run over which cards become askew: digits are not learnt from askew ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSizes:
    """Sizes of the pair."""

    width: int = 192
    n_layers: int = 5
    n_heads: int = 6
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledFrames:
    """Frames to learn from, with their facts; cards from upright to askew."""

    cards: UInt8[np.ndarray, "card take side side 3"]
    card_facts: Int16[np.ndarray, "card field"]
    frames: UInt8[np.ndarray, "frame side side 3"]
    frame_facts: Int16[np.ndarray, "frame field"]
    other: UInt8[np.ndarray, "other side side 3"]
    """Real footage and distractors, of which nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizes:
    """Frames of each sort in a step."""

    cards: int = 160
    frames: int = 96
    other: int = 48


def new_clip(sizes: ClipSizes, tokenizer: Tokenizer) -> CLIPModel:
    """Build an untrained pair whose text is pooled at its end mark."""
    end = tokenizer.token_to_id("<|endoftext|>")
    text = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": sizes.text_width,
        "intermediate_size": 4 * sizes.text_width,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": sizes.text_heads,
        "max_position_embeddings": QUERY_TOKENS,
        "hidden_act": "gelu",
        "projection_dim": VECTOR_DIM,
        # Never 2: transformers would then pool at the largest id instead of the end mark.
        "eos_token_id": end,
        "bos_token_id": end,
        "pad_token_id": end,
    }
    vision = {
        "hidden_size": sizes.width,
        "intermediate_size": 4 * sizes.width,
        "num_hidden_layers": sizes.n_layers,
        "num_attention_heads": sizes.n_heads,
        "image_size": SIDE_PX,
        "patch_size": PATCH_PX,
        "hidden_act": "gelu",
        "projection_dim": VECTOR_DIM,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=VECTOR_DIM)
    # Spelled-out attention: the fused kernel's backward pass is ten times slower on the CPU.
    clip: CLIPModel = CLIPModel._from_config(config, attn_implementation="eager")
    return clip


class FactHeads(nn.Module):
    """Linear read-out of a frame's facts from its pooled tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.BatchNorm1d(width, affine=False)
        # The first field gets one class more: nothing is there.
        self.heads = nn.ModuleList(
            nn.Linear(4 * width, n + (field == 0)) for field, n in enumerate(N_VALUES)
        )

    def forward(self, patches: Float[Tensor, "frame patch width"]) -> list[Tensor]:
        """Return one row of logits a field."""
        pooled = pool_patches(patches)
        flat = self.norm(pooled.flatten(0, 1)).view(len(patches), -1)
        return [head(flat) for head in self.heads]


def pool_patches(patches: Float[Tensor, "frame patch width"]) -> Float[Tensor, "frame 4 width"]:
    """Average the 4x4 patch grid to 2x2, row by row."""
    # frame (row col) width -> frame 2 2 2 2 width: rows and columns in pairs
    grid = patches.view(-1, 2, 2, 2, 2, patches.shape[-1])
    return grid.mean((2, 4)).flatten(1, 2)


def normalise_pixels(
    frames: UInt8[np.ndarray, "frame side side 3"], *, jitter: bool = False
) -> Float[Tensor, "frame 3 side side"]:
    """Return pixels as the vision tower takes them; with `jitter`, light, tint and noise vary."""
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    if jitter:
        n = x.shape[0]
        x = x * (0.85 + 0.3 * torch.rand(n, 1, 1, 1)) * (0.95 + 0.1 * torch.rand(n, 3, 1, 1))
        x = x + 24 * (torch.rand(n, 1, 1, 1) - 0.5) + 3 * torch.randn(x.shape)
        x = x.clamp(0, 255)
    mean = torch.tensor(CLIP_MEAN)[:, None, None] * 255
    std = torch.tensor(CLIP_STD)[:, None, None] * 255
    return (x - mean) / std


class ClipStage:
    """The task for `loop.run_stage`."""

    name = "tower"

    def __init__(
        self,
        sizes: ClipSizes,
        train: LabelledFrames,
        held_out: LabelledFrames,
        tokenizer: Tokenizer,
        *,
        batch: BatchSizes,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.clip = new_clip(sizes, tokenizer)
        self.heads = FactHeads(sizes.width)
        self.module = nn.ModuleDict({"clip": self.clip, "heads": self.heads})
        self._train, self._held_out, self._batch = train, held_out, batch
        self._seed = seed
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        end = tokenizer.token_to_id("<|endoftext|>")
        self._tokenizer.enable_padding(pad_id=end, pad_token="<|endoftext|>")
        self._with_actor = np.nonzero(train.frame_facts[:, 0] >= 0)[0]

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the contrastive loss plus half of the read-out loss, a weight chosen by hand."""
        rng = np.random.default_rng([self._seed, 31, step])
        frames, facts = self._draw(rng, step / n_steps)
        phrases = [phrase_for(row, rng) for row in facts]
        named = [idx for idx, phrase in enumerate(phrases) if phrase is not None]
        kept = [phrase for phrase in phrases if phrase is not None]
        fits = matching_frames(kept, facts, self._batch.other)
        fits[torch.arange(len(named)), torch.tensor(named)] = True
        patches, frame_vectors = self.encode_frames(normalise_pixels(frames, jitter=True))
        text_vectors = self.encode_texts([phrase.text for phrase in kept])
        scale = self.clip.logit_scale.exp().clamp(max=_MOST_SCALE)
        contrast = contrastive_loss(scale * text_vectors @ frame_vectors.T, fits)
        return contrast + 0.5 * self._readout_loss(patches, facts)

    def scores(self) -> Mapping[str, float]:
        """Return the share of held-out cards and frames whose facts the heads name."""
        held_out, scores = self._held_out, {}
        for frames, facts in (
            (held_out.cards[:, 0][:1000], held_out.card_facts[:1000]),
            (held_out.frames[:1000], held_out.frame_facts[:1000]),
        ):
            patches, _ = self.encode_frames(normalise_pixels(frames))
            answers = [logits.argmax(1).numpy() for logits in self.heads(patches.float())]
            for field, name in enumerate(FIELDS):
                known = facts[:, field] >= 0
                if known.any():
                    is_right = answers[field][known] == facts[known, field]
                    scores[name] = float(is_right.mean())
        return scores

    def encode_frames(
        self, pixels: Float[Tensor, "frame 3 side side"]
    ) -> tuple[Float[Tensor, "frame patch width"], Float[Tensor, "frame dim"]]:
        """Return penultimate patch features and unit vectors."""
        out = self.clip.vision_model(pixel_values=pixels, output_hidden_states=True)
        vectors = self.clip.visual_projection(out.pooler_output)
        return out.hidden_states[-2][:, 1:].float(), F.normalize(vectors.float(), dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "text dim"]:
        """Return unit vectors of texts."""
        # A text is pooled at the first padding, which is the end mark. The longest of a batch has
        # none and is pooled at its first token instead. The shipped weights were trained like that;
        # revisit with the next ones (the product appends the mark itself, see `vocabulary`).
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([text.ids for text in encoded])
        mask = torch.tensor([text.attention_mask for text in encoded])
        out: Any = self.clip.text_model(input_ids=ids, attention_mask=mask)
        return F.normalize(self.clip.text_projection(out.pooler_output).float(), dim=-1)

    def _draw(
        self, rng: np.random.Generator, part: float
    ) -> tuple[UInt8[np.ndarray, "n side side 3"], Int16[np.ndarray, "n field"]]:
        train, sizes = self._train, self._batch
        n_upright = len(train.cards)
        if part < _JITTER_SHARE:
            share = 0.05 + 0.95 * part / _JITTER_SHARE
            n_upright = min(n_upright, max(64, math.ceil(n_upright * share)))
        card = rng.integers(n_upright, size=sizes.cards)
        take = rng.integers(train.cards.shape[1], size=sizes.cards)
        # Three frames of four show an actor; a share chosen by hand, not tuned.
        n_with_actor = sizes.frames * 3 // 4
        frame = np.concatenate(
            [
                self._with_actor[rng.integers(len(self._with_actor), size=n_with_actor)],
                rng.integers(len(train.frames), size=sizes.frames - n_with_actor),
            ]
        )
        other = rng.integers(len(train.other), size=sizes.other)
        unknown = np.full((sizes.other, len(FIELDS)), -1, dtype=np.int16)
        return (
            np.concatenate([train.cards[card, take], train.frames[frame], train.other[other]]),
            np.concatenate([train.card_facts[card], train.frame_facts[frame], unknown]),
        )

    def _readout_loss(self, patches: Tensor, facts: Int16[np.ndarray, "n field"]) -> Tensor:
        labels = torch.from_numpy(facts.astype(np.int64))
        labels[labels[:, 0] < 0, 0] = len(KIND_NAMES)
        losses = [
            F.cross_entropy(logits.float(), labels[:, field], ignore_index=-1)
            for field, logits in enumerate(self.heads(patches))
            if (labels[:, field] >= 0).any()
        ]
        return torch.stack(losses).sum()


def matching_frames(
    phrases: Sequence[Phrase], facts: Int16[np.ndarray, "frame field"], n_unknown: int
) -> Bool[Tensor, "text frame"]:
    """Return which frames meet one of a text's specs; the last `n_unknown` frames meet none."""
    # -1 in a spec meets any value; -9 (no spec) and -7 (unknown frame) meet nothing.
    specs = np.full((len(phrases), 2, len(FIELDS)), -9, dtype=np.int16)
    for idx, phrase in enumerate(phrases):
        for slot, spec in enumerate(phrase.specs):
            specs[idx, slot] = spec
    known = facts.copy()
    known[len(known) - n_unknown :] = -7
    same = (specs[:, :, None] == -1) | (specs[:, :, None] == known[None, None])
    return torch.from_numpy(same.all(-1).any(1))


def contrastive_loss(
    logits: Float[Tensor, "text frame"], fits: Bool[Tensor, "text frame"]
) -> Float[Tensor, ""]:
    """Return the cross-entropy both ways, averaged over the several right answers of a row."""
    weights = fits.float()
    to_frames = -(F.log_softmax(logits, 1) * weights).sum(1) / weights.sum(1)
    has_text = weights.sum(0) > 0
    to_texts = -(F.log_softmax(logits, 0) * weights).sum(0)[has_text] / weights.sum(0)[has_text]
    return (to_frames.mean() + to_texts.mean()) / 2
