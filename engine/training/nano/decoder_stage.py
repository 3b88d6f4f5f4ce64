"""Teaches projector and decoder: fold chunks into VSTs, and answer from the recalled ones.

One step: some sixty chunks are put together from the bank's features, folded in one pass at one
ratio, and recalled by readers, each a handful of chunks with a handful of questions. Two losses:
next token over the answers, and *summary supervision*: linear heads on the half-deep VST rows
must name what the VST's own frames show. Without the latter, facts reach the VSTs only through
the answers, and a small model does not start to learn (measured in the feasibility study).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder, DecoderConfig
from engine.synthetic.palette import SHAPES
from engine.synthetic.scene import LIGHTS, PLACES
from engine.training.nano.batched_fold import (
    Folded,
    Layers,
    choose,
    fold_chunks,
    read_text,
    run_prefix,
)
from engine.training.nano.captions import CARD, COLOUR_NAMES, KIND_NAMES
from engine.training.nano.chunks import Chunk, Facts, draw_chunk, draw_reel, frame_facts
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.questions import REEL_WEIGHTS, QaPair, QuestionSampler
from engine.training.nano.stories import REEL_CHUNKS
from engine.training.nano.vocabulary import id_of

FRAME_TOKENS: Final = 4
CHUNK_TOKENS: Final = CHUNK_FRAMES * FRAME_TOKENS
PREFIX: Final = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
IGNORED: Final = -100

SUMMARY: Final = (2, len(COLOUR_NAMES), len(SHAPES), 10, 10,
                  len(KIND_NAMES), len(COLOUR_NAMES), 2, len(PLACES), len(LIGHTS))  # fmt: skip
"""Classes that a VST must name: card or none, its colour, shape and digits; actor or none, its
colour and direction; place, light."""

QUESTIONS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {1: (64, 4), 2: (48, 5), 4: (36, 6), 8: (26, 8), 16: (18, 10), 32: (10, 16), 64: (6, 24)}
)
"""Chunks recalled by a reader to readers in a step and questions each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The bank behind the tower: penultimate patch features, and the facts."""

    clips: Float[Tensor, "clip frame patch width"]
    """Drawn clips, then real footage, then the chunks of all reels."""
    cards: Float[Tensor, "card take patch width"]
    facts: Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """How a step reads: how many chunks a reader recalls, and the ratio they are folded at."""

    n_chunks: int
    ratio: int
    is_reel: bool = False
    """Whether the chunks follow each other, as in a video, or were put together by lot."""


class Summary(nn.Module):
    """Linear heads on VST rows."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Linear(width, sum(SUMMARY))

    def forward(self, rows: Float[Tensor, "*batch width"]) -> list[Tensor]:
        """One tensor of logits for each of `SUMMARY`."""
        return list(self.heads(self.norm(rows)).split(list(SUMMARY), -1))


class Reader(nn.Module):
    """Projector, decoder and the heads that only training needs."""

    def __init__(
        self,
        config: DecoderConfig,
        mean: Float[Tensor, " inner"],
        std: Float[Tensor, " inner"],
    ) -> None:
        super().__init__()
        self.decoder = Decoder(config)
        self.inner = nn.Linear(len(mean), config.width)
        self.outer = nn.Linear(config.width, config.width)
        self.summary, self.early = Summary(config.width), Summary(config.width)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: Tensor
        self.std: Tensor
        self._start()

    def project(
        self, features: Float[Tensor, "chunk frame patch inner"]
    ) -> Float[Tensor, "chunk token width"]:
        """Standardise, project, pool 2x2; the export folds the first into the weights."""
        hidden = F.gelu(self.inner((features - self.mean) / self.std))
        # chunk frame (4 4) width -> chunk frame 2 2 2 2 width: rows and columns in pairs
        grid = hidden.view(*hidden.shape[:2], 2, 2, 2, 2, hidden.shape[-1])
        pooled: Tensor = self.outer(grid.mean((3, 5)).flatten(2, 3))
        # The residual stream stays in float32 under autocast, as text embeddings are.
        return pooled.flatten(1, 2).float()

    def _start(self) -> None:
        """Small weights; what ends in the residual stream is scaled down by its depth."""
        deep = math.sqrt(2 * self.decoder.config.n_layers)
        for name, parameter in self.decoder.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.04 if "embed" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        for layer in self.decoder.stack():
            nn.init.normal_(layer.attention.out.weight, std=0.02 / deep)
            nn.init.normal_(layer.down.weight, std=0.02 / deep)
            assert layer.attention.vst_qkv is not None
            layer.attention.vst_qkv.load_state_dict(layer.attention.qkv.state_dict())


class ReaderStage:
    """The stage for `loop.run_stage`."""

    name = "reader"
    kinds: Mapping[str, float] | None = None
    """How often each kind of question is drawn; `None` takes the quiz's own weights."""
    readers: Mapping[int, tuple[int, int]] = QUESTIONS
    """Chunks recalled to readers in a step and questions each."""

    def __init__(
        self,
        config: DecoderConfig,
        seen: Features,
        held_out: Features,
        tokenizer: Tokenizer,
        *,
        n_chunks: int = 64,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        flat = torch.cat(
            [seen.clips[::7].float().flatten(0, 2), seen.cards[::3].float().flatten(0, 2)]
        )
        self.module = Reader(config, flat.mean(0), flat.std(0))
        self._seen, self._held_out, self._n_chunks, self._seed = seen, held_out, n_chunks, seed
        self._tokenizer, self._ids = tokenizer, dict[str, list[int]]()
        self._end = id_of(tokenizer, "<|im_end|>")
        self._first_part, self._draws = 0.0, 32

    def polish(self, kinds: Mapping[str, float]) -> None:
        """Go on with the weights there are: other draws, the curriculum's end, other weights."""
        self.name, self.kinds = "polish", kinds
        self._first_part, self._draws = 0.8, 34

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Answers, and what the summaries must name; the latter counts less towards the end."""
        rng = np.random.default_rng([self._seed, self._draws, step])
        part = self._first_part + (1 - self._first_part) * step / n_steps
        recall = draw_recall(rng, part, with_reels=len(self._seen.facts.reels) > 0)
        recall = replace(recall, n_chunks=min(recall.n_chunks, self._n_chunks))
        chunks = self._draw_chunks(rng, is_reel=recall.is_reel)
        per_video = int(rng.choice([8, 16] if recall.is_reel else [1, 2, 4, 8]))
        per_video = min(per_video, len(chunks))
        tokens, folded, sink = self._fold(self._seen, chunks, rng, recall.ratio, per_video)
        n_readers, n_questions = self.readers[recall.n_chunks]
        picked = _pick(rng, len(chunks), n_readers, recall)
        kinds = REEL_WEIGHTS if recall.is_reel and self.name == "reader" else self.kinds
        quizzes = [
            list(QuestionSampler(rng, [chunks[i] for i in row]).ask(n_questions, kinds))
            for row in picked
        ]
        rows, labels = self._read(folded, sink, picked, per_video, quizzes)
        chosen = labels != IGNORED
        logits = self.module.decoder.logits(rows[chosen])
        answers = F.cross_entropy(logits.float(), labels[chosen])
        facts = self._seen.facts
        wanted = self._labels(chunks, facts, recall.ratio)
        named = name_summary(self.module.summary(folded.middle.flatten(0, 1)), wanted)
        if part < 0.2:
            pooled = tokens.view(len(tokens), CHUNK_FRAMES, FRAME_TOKENS, -1).mean(2)
            early = summary_labels(chunks, facts, FRAME_TOKENS)
            early[..., 7] = -1  # One frame alone need not tell a direction.
            named = named + 0.5 * name_summary(self.module.early(pooled), early)
        return answers + (0.15 if part > 0.6 else 0.3) * named

    def scores(self) -> Mapping[str, float]:
        """Share of held-out questions answered to the letter, by what is recalled."""
        found = {}
        asked = [Recall(n_chunks=1, ratio=8), Recall(n_chunks=4, ratio=8)]
        if len(self._held_out.facts.reels):
            asked.append(Recall(n_chunks=REEL_CHUNKS, ratio=8, is_reel=True))
        for recall in asked:
            hits = self.measure(recall, n_rounds=3)
            name = "reel" if recall.is_reel else recall.n_chunks
            for kind, (right, n) in hits.items():
                found[f"{kind}@{name}"] = right / n
        return found

    def measure(self, recall: Recall, *, n_rounds: int) -> dict[str, tuple[int, int]]:
        """Right answers and questions by kind, over 16 held-out readers a round.

        An answer is right if every token is the likeliest one after the right ones before it:
        the same as greedy decoding for a whole answer.
        """
        hits: dict[str, tuple[int, int]] = {}
        for turn in range(n_rounds):
            rng = np.random.default_rng([self._seed, 33, recall.n_chunks, recall.ratio, turn])
            per_video = 8
            facts, kinds = self._held_out.facts, self.kinds
            if recall.is_reel:
                kinds = REEL_WEIGHTS
                reels = (draw_reel(rng, facts, cards=0.1) for _ in range(16))
                chunks = [chunk for reel in reels for chunk in reel]
            else:
                chunks = [
                    draw_chunk(rng, facts, real=0.5, cards=0.8) for _ in range(16 * per_video)
                ]
            _, folded, sink = self._fold(self._held_out, chunks, rng, recall.ratio, per_video)
            picked = _pick(rng, len(chunks), 16, recall)
            quizzes = [
                list(QuestionSampler(rng, [chunks[i] for i in row], held_out=True).ask(8, kinds))
                for row in picked
            ]
            rows, labels = self._read(folded, sink, picked, per_video, quizzes)
            self._count(rows, labels, quizzes, hits)
        return hits

    def _count(
        self,
        rows: Tensor,
        labels: Tensor,
        quizzes: Sequence[Sequence[QaPair]],
        hits: dict[str, tuple[int, int]],
    ) -> None:
        for quiz, fine in zip(quizzes, self._fine(rows, labels, quizzes), strict=True):
            for asked, is_fine in zip(quiz, fine, strict=True):
                right, n = hits.get(asked.kind, (0, 0))
                hits[asked.kind] = (right + is_fine, n + 1)

    def _fine(
        self, rows: Tensor, labels: Tensor, quizzes: Sequence[Sequence[QaPair]]
    ) -> list[list[bool]]:
        """Whether each answer of each reader is right to the letter."""
        said = self.module.decoder.logits(rows).argmax(-1)
        is_fine = (said == labels) | (labels == IGNORED)
        return [
            [bool(is_fine[row, : len(place)][place == idx].all()) for idx in range(len(quiz))]
            for row, (quiz, place) in enumerate(zip(quizzes, self._places(quizzes), strict=True))
        ]

    def _draw_chunks(self, rng: np.random.Generator, *, is_reel: bool) -> list[Chunk]:
        if is_reel:
            n_reels, cards = max(1, self._n_chunks // REEL_CHUNKS), float(rng.choice([0, 0.1, 0.4]))
            drawn = (draw_reel(rng, self._seen.facts, cards=cards) for _ in range(n_reels))
            return [chunk for reel in drawn for chunk in reel]
        cards = float(rng.choice([0.1, 0.4, 0.8, 1.2], p=[0.1, 0.25, 0.4, 0.25]))
        real = float(rng.choice([0.05, 0.25, 0.5, 0.9], p=[0.35, 0.3, 0.2, 0.15]))
        facts = self._seen.facts
        return [draw_chunk(rng, facts, real=real, cards=cards) for _ in range(self._n_chunks)]

    def _fold(
        self,
        seen: Features,
        chunks: Sequence[Chunk],
        rng: np.random.Generator,
        ratio: int,
        per_video: int,
    ) -> tuple[Tensor, Folded, Layers]:
        """Visual tokens, VSTs and sink; chunks look back on 0 to 8 of their video's."""
        prefix = torch.tensor(self._encode(PREFIX))
        sink = run_prefix(self.module.decoder, self.module.decoder.embed(prefix))
        tokens = self.module.project(gather(seen, chunks, rng).float())
        videos = tokens.view(-1, per_video, *tokens.shape[1:])
        past = int(rng.choice([0, 1, 2, 4, 8]))
        return tokens, self._keep(videos, sink, ratio, past), sink

    def _keep(
        self,
        videos: Float[Tensor, "video chunk token width"],
        sink: Layers,
        ratio: int,
        past: int,
    ) -> Folded:
        """What stays of the chunks; `baselines` keeps other things than VSTs."""
        ratios = [ratio] * videos.shape[1]
        return fold_chunks(self.module.decoder, videos, sink, ratios, max_past_chunks=past)

    def _labels(
        self, chunks: Sequence[Chunk], facts: Facts, ratio: int
    ) -> Int64[Tensor, "chunk row fact"]:
        """What each row that is kept must name."""
        return summary_labels(chunks, facts, ratio)

    def _read(
        self,
        folded: Folded,
        sink: Layers,
        picked: Int64[np.ndarray, "reader chunk"],
        per_video: int,
        quizzes: Sequence[Sequence[QaPair]],
    ) -> tuple[Tensor, Int64[Tensor, "reader token"]]:
        text, question, offset, labels = self._pack(quizzes)
        at = torch.from_numpy(picked)
        memory = choose(folded, at // per_video, at % per_video)
        rows = read_text(self.module.decoder, sink, memory, text, question, offset)
        return rows, labels

    def _pack(self, quizzes: Sequence[Sequence[QaPair]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Ids, question, place in the question, and labels; one padded row a reader."""
        rows = [self._row(quiz) for quiz in quizzes]
        longest = max(len(row[0]) for row in rows)
        return tuple(  # type: ignore[return-value]
            torch.tensor([row[part] + [pad] * (longest - len(row[part])) for row in rows])
            for part, pad in enumerate((0, -1, 0, IGNORED))
        )

    def _row(self, quiz: Sequence[QaPair]) -> tuple[list[int], list[int], list[int], list[int]]:
        ids: list[int] = []
        question: list[int] = []
        offset: list[int] = []
        labels: list[int] = []
        for idx, asked in enumerate(quiz):
            prompt = self._encode(f"\n{asked.text}<|im_end|>\n<|im_start|>assistant\n")
            answer = [*self._encode(asked.answer), self._end]
            line = prompt + answer[:-1]
            ids += line
            question += [idx] * len(line)
            offset += range(len(line))
            labels += [IGNORED] * (len(prompt) - 1) + answer
        return ids, question, offset, labels

    def _places(self, quizzes: Sequence[Sequence[QaPair]]) -> list[Tensor]:
        return [torch.tensor(self._row(quiz)[1]) for quiz in quizzes]

    def _encode(self, text: str) -> list[int]:
        known = self._ids.get(text)
        if known is None:
            known = self._tokenizer.encode(text).ids
            if len(self._ids) < 300_000:
                self._ids[text] = known
        return known


REEL_SHARE: Final = 0.35
"""Of the steps after the first fifth."""


def draw_recall(rng: np.random.Generator, part: float, *, with_reels: bool) -> Recall:
    """The curriculum: one chunk first, then few, then up to sixty-four; and whole reels."""
    odds = (0.2, 0.4, 0.4, 0.0) if part < 0.05 else (0.1, 0.2, 0.45, 0.25)
    ratio = int(rng.choice((2, 4, 8, 16), p=odds))
    if with_reels and part >= 0.2 and rng.random() < REEL_SHARE:
        n_chunks = int(rng.choice((2, 4, 8, 16, 32), p=(0.15, 0.2, 0.4, 0.15, 0.1)))
        return Recall(n_chunks=n_chunks, ratio=ratio, is_reel=True)
    steps: tuple[tuple[int, ...], tuple[float, ...] | None]
    if part < 0.1:
        steps = ((1,), None)
    elif part < 0.2:
        steps = ((1, 2, 4), None)
    elif part < 0.4:
        steps = ((1, 2, 4, 8, 16), (0.3, 0.25, 0.2, 0.15, 0.1))
    else:
        steps = ((1, 2, 4, 8, 16, 32, 64), (0.2, 0.2, 0.2, 0.15, 0.1, 0.1, 0.05))
    return Recall(n_chunks=int(rng.choice(steps[0], p=steps[1])), ratio=ratio)


def gather(
    seen: Features, chunks: Sequence[Chunk], rng: np.random.Generator
) -> Float[Tensor, "chunk frame patch width"]:
    """The features of chunks: the clip's, with cards in place of some frames."""
    pictures = seen.clips[torch.tensor([chunk.clip for chunk in chunks])]
    for idx, chunk in enumerate(chunks):
        for card, start, length in chunk.cards:
            for at in range(start, start + length):
                take = int(rng.integers(seen.cards.shape[1]))
                pictures[idx, at] = seen.cards[card, take]
    return pictures


def summary_labels(
    chunks: Sequence[Chunk], facts: Facts, ratio: int
) -> Int64[Tensor, "chunk vst fact"]:
    """What each VST must name of the frames that end with it, -1 where nothing is known."""
    n_vst = CHUNK_TOKENS // ratio
    labels = np.full((len(chunks), n_vst, len(SUMMARY)), -1, dtype=np.int64)
    for idx, chunk in enumerate(chunks):
        rows = frame_facts(chunk, facts)
        for vst in range(n_vst):
            ends = (FRAME_TOKENS * (at + 1) for at in range(CHUNK_FRAMES))
            own = [at for at, end in enumerate(ends) if vst * ratio < end <= (vst + 1) * ratio]
            if own:
                _label(labels[idx, vst], rows[own])
    return torch.from_numpy(labels)


def name_summary(
    logits: Sequence[Tensor], labels: Int64[Tensor, "chunk vst fact"]
) -> Float[Tensor, ""]:
    """Cross-entropy of every head over what is known."""
    losses = [
        F.cross_entropy(head.float().flatten(0, 1), labels[..., fact].flatten(), ignore_index=-1)
        for fact, head in enumerate(logits)
        if (labels[..., fact] >= 0).any()
    ]
    return torch.stack(losses).sum()


def _label(label: np.ndarray, rows: np.ndarray) -> None:
    label[0], label[5] = 0, CARD  # No card; and `CARD` stands for no actor.
    for row in rows:
        if row[0] == CARD:
            label[0], label[1:5] = 1, row[1:5]
            continue
        if row[0] >= 0:
            label[5:8] = row[0], row[1], row[5]
        if row[6] >= 0:
            label[8:10] = row[6:8]


def _pick(
    rng: np.random.Generator, n_chunks: int, n_readers: int, recall: Recall
) -> Int64[np.ndarray, "reader chunk"]:
    """Which chunks each reader recalls, in what stands for time order."""
    if recall.is_reel:
        return np.stack([_pick_in_order(rng, n_chunks, recall.n_chunks) for _ in range(n_readers)])
    if recall.n_chunks == 1:
        return rng.permutation(n_chunks)[:n_readers, None]
    rows = [rng.choice(n_chunks, recall.n_chunks, replace=False) for _ in range(n_readers)]
    picked = np.stack(rows)
    return np.sort(picked, 1) if rng.random() < 0.3 else picked


def _pick_in_order(
    rng: np.random.Generator, n_chunks: int, n_recalled: int
) -> Int64[np.ndarray, " chunk"]:
    """Whole reels, or of one reel a stretch or some by lot, as an overview takes them."""
    n_recalled = min(n_recalled, n_chunks)
    if n_recalled >= REEL_CHUNKS:
        return np.arange(n_recalled) + n_recalled * rng.integers(n_chunks // n_recalled)
    reel = REEL_CHUNKS * rng.integers(n_chunks // REEL_CHUNKS)
    if rng.random() < 0.5:
        return np.arange(n_recalled) + reel + rng.integers(REEL_CHUNKS - n_recalled + 1)
    return reel + np.sort(rng.choice(REEL_CHUNKS, n_recalled, replace=False))
