"""Projector and decoder learn to compress chunks into VSTs and to answer from recalled ones.

One step: some sixty chunks are put together from the frame bank's features, compressed in one pass
at one ratio, and recalled in contexts, each a handful of chunks with a handful of questions. Two
losses are added: next token over the answers, and summary supervision (`summary`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.splice import IGNORED_LABEL
from engine.training.nano.batched_compression import (
    CompressedVideos,
    LayerKv,
    run_prefix,
    run_text,
    select_chunks,
)
from engine.training.nano.chunks import Chunk, Facts, draw_chunk, draw_story_chunks
from engine.training.nano.curriculum import (
    CONTEXTS,
    POLISH_FROM,
    RecallSpec,
    draw_chunks_per_video,
    draw_past,
    draw_recall,
    draw_step_chunks,
    has_single_frames,
    pick_recalled,
    summary_weight,
)
from engine.training.nano.frame_bank import CHUNK_FRAMES
from engine.training.nano.keep_strategies import KeepStrategy, KeepVsts
from engine.training.nano.packing import PREFIX, PackedQuestions, QuestionPacker
from engine.training.nano.questions import STORY_WEIGHTS, QaPair, QuestionSampler
from engine.training.nano.stories import STORY_CHUNKS
from engine.training.nano.summary import (
    DIRECTION,
    FRAME_TOKENS,
    SummaryHeads,
    shown_frames,
    summary_labels,
    summary_loss,
)

_MEASURED_CONTEXTS = 16
"""Held-out contexts of a round, each of its own video where chunks are put together by lot."""
_MEASURED_CHUNKS_PER_VIDEO = 8
_MEASURED_QUESTIONS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """The frame bank behind the vision tower: penultimate patch features, and the facts."""

    clips: Float[Tensor, "clip frame patch width"]
    """Drawn clips, then real footage, then the chunks of all stories."""
    cards: Float[Tensor, "card take patch width"]
    facts: Facts


class NanoDecoder(nn.Module):
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
        self.summary, self.early = SummaryHeads(config.width), SummaryHeads(config.width)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.mean: Tensor
        self.std: Tensor
        self._initialise()

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

    def _initialise(self) -> None:
        """Draw small weights; what ends in the residual stream is scaled down by its depth."""
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


class DecoderStage:
    """The task for `loop.run_stage`.

    Chunks are kept as VSTs; `baselines` trains the same task over other keep strategies.
    """

    name = "reader"
    kinds: Mapping[str, float] | None = None
    """How often each kind of question is drawn; `None` takes the sampler's own weights."""
    contexts: Mapping[int, tuple[int, int]] = CONTEXTS
    """Chunks recalled, to contexts in a step and questions each."""
    has_summary: bool = True
    """Whether VSTs are supervised beside the answers; not where the heads know nothing yet."""
    ratio: int | None = None
    """Visual tokens a kept row in every step; `None` draws it."""

    def __init__(
        self,
        config: DecoderConfig,
        features: Features,
        held_out: Features,
        tokenizer: Tokenizer,
        *,
        n_chunks: int = 64,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        # Every 7th clip and 3rd card are enough for a mean and a deviation.
        flat = torch.cat(
            [features.clips[::7].float().flatten(0, 2), features.cards[::3].float().flatten(0, 2)]
        )
        self.module = NanoDecoder(config, flat.mean(0), flat.std(0))
        self.features, self.held_out = features, held_out
        self.strategy: KeepStrategy = KeepVsts()
        self._n_chunks, self._seed = n_chunks, seed
        self._packer = QuestionPacker(tokenizer)
        self._parts, self._draws = (0.0, 1.0), 32

    def polish(self, kinds: Mapping[str, float]) -> None:
        """Go on with the weights there are: other draws, the curriculum's end, other weights."""
        self.name, self.kinds = "polish", kinds
        self.go_on((POLISH_FROM, 1.0), draws=34)

    def go_on(self, parts: tuple[float, float], *, draws: int) -> None:
        """Train the next schedule over a part of the curriculum.

        Args:
            parts: Its beginning and end in the curriculum, 0 to 1.
            draws: Tells the draws of its steps from those of other schedules.
        """
        self._parts, self._draws = parts, draws

    def loss(self, step: int, n_steps: int) -> Tensor:
        """Return the loss over answers plus summary supervision, which weighs less at the end."""
        rng = np.random.default_rng([self._seed, self._draws, step])
        first, last = self._parts
        part = first + (last - first) * step / n_steps
        facts = self.features.facts
        recall = draw_recall(rng, part, with_stories=len(facts.stories) > 0)
        recall = replace(
            recall,
            n_chunks=min(recall.n_chunks, self._n_chunks),
            ratio=self.ratio or recall.ratio,
        )
        chunks = draw_step_chunks(rng, facts, self._n_chunks, is_story=recall.is_story)
        per_video = draw_chunks_per_video(rng, recall, len(chunks))
        tokens = self._visual_tokens(self.features, chunks, rng)
        compressed, sink = self._compress(tokens, per_video, recall.ratio, draw_past(rng))
        n_contexts, n_questions = self.contexts[recall.n_chunks]
        picked = pick_recalled(rng, len(chunks), n_contexts, recall)
        # Counting is learnt from stories, so they ask more of it; not when polishing.
        kinds = STORY_WEIGHTS if recall.is_story and self.name == "reader" else self.kinds
        contexts = [
            list(QuestionSampler(rng, [chunks[idx] for idx in row]).ask(n_questions, kinds))
            for row in picked
        ]
        rows, packed = self._run_questions(compressed, sink, picked, per_video, contexts)
        has_label = packed.labels != IGNORED_LABEL
        logits = self.module.decoder.logits(rows[has_label])
        answers = F.cross_entropy(logits.float(), packed.labels[has_label])
        if not self.has_summary:
            return answers
        labels = self.strategy.labels(chunks, facts, recall.ratio)
        summary = summary_loss(self.module.summary(compressed.middle.flatten(0, 1)), labels)
        if has_single_frames(part):
            # Half the weight of the VSTs' own supervision, chosen by hand.
            summary = summary + 0.5 * self._single_frame_loss(tokens, chunks)
        return answers + summary_weight(part) * summary

    def scores(self) -> Mapping[str, float]:
        """Return the share of held-out questions answered to the letter, by kind and recall."""
        recalls = {
            "1": RecallSpec(n_chunks=1, ratio=8),
            "4": RecallSpec(n_chunks=4, ratio=8),
        }
        if len(self.held_out.facts.stories):
            recalls["reel"] = RecallSpec(n_chunks=STORY_CHUNKS, ratio=8, is_story=True)
        return {
            f"{kind}@{name}": right / n
            for name, recall in recalls.items()
            for kind, (right, n) in self.measure(recall, n_rounds=3).items()
        }

    def measure(self, recall: RecallSpec, *, n_rounds: int) -> dict[str, tuple[int, int]]:
        """Count right answers and questions by kind, over 16 held-out contexts a round.

        An answer is right if every token is the likeliest one after the right ones before it:
        the same as greedy decoding for a whole answer.
        """
        counts: dict[str, tuple[int, int]] = {}
        for number in range(n_rounds):
            rng = np.random.default_rng([self._seed, 33, recall.n_chunks, recall.ratio, number])
            chunks = self._held_out_chunks(rng, recall)
            tokens = self._visual_tokens(self.held_out, chunks, rng)
            per_video = _MEASURED_CHUNKS_PER_VIDEO
            compressed, sink = self._compress(tokens, per_video, recall.ratio, draw_past(rng))
            picked = pick_recalled(rng, len(chunks), _MEASURED_CONTEXTS, recall)
            kinds = STORY_WEIGHTS if recall.is_story else self.kinds
            contexts = []
            for row in picked:
                sampler = QuestionSampler(rng, [chunks[idx] for idx in row], held_out=True)
                contexts.append(list(sampler.ask(_MEASURED_QUESTIONS, kinds)))
            right = self._are_right(compressed, sink, picked, per_video, contexts)
            for pairs, flags in zip(contexts, right, strict=True):
                for pair, is_right in zip(pairs, flags, strict=True):
                    n_right, n = counts.get(pair.kind, (0, 0))
                    counts[pair.kind] = (n_right + is_right, n + 1)
        return counts

    def answer_whole_videos(
        self,
        rng: np.random.Generator,
        videos: Sequence[Sequence[Chunk]],
        questions: Sequence[Sequence[QaPair]],
        *,
        ratio: int,
        past: int,
    ) -> list[list[bool]]:
        """Say which questions about each whole video are answered right to the letter.

        Args:
            rng: Picks a take of each card.
            videos: Of equally many held-out chunks, in time order.
            questions: About each video; they do not see each other.
            ratio: Visual tokens a row that is kept.
            past: Chunks that each chunk looks back on.
        """
        kept = [video[self.strategy.chunks_kept(ratio)] for video in videos]
        per_video = len(kept[0])
        chunks = [chunk for video in kept for chunk in video]
        tokens = self._visual_tokens(self.held_out, chunks, rng)
        compressed, sink = self._compress(tokens, per_video, ratio, past)
        picked = np.arange(len(chunks)).reshape(len(videos), per_video)
        return self._are_right(compressed, sink, picked, per_video, questions)

    def _held_out_chunks(self, rng: np.random.Generator, recall: RecallSpec) -> list[Chunk]:
        facts = self.held_out.facts
        if recall.is_story:
            stories = (draw_story_chunks(rng, facts, cards=0.1) for _ in range(_MEASURED_CONTEXTS))
            return [chunk for story in stories for chunk in story]
        n_chunks = _MEASURED_CONTEXTS * _MEASURED_CHUNKS_PER_VIDEO
        return [draw_chunk(rng, facts, real=0.5, cards=0.8) for _ in range(n_chunks)]

    def _visual_tokens(
        self, features: Features, chunks: Sequence[Chunk], rng: np.random.Generator
    ) -> Float[Tensor, "chunk token width"]:
        gathered = gather_features(features, chunks, rng)
        shown = torch.from_numpy(shown_frames(self.strategy.frame_every))
        return self.module.project(gathered[:, shown].float())

    def _compress(
        self, tokens: Float[Tensor, "chunk token width"], per_video: int, ratio: int, past: int
    ) -> tuple[CompressedVideos, LayerKv]:
        """Return what stays of the chunks, and the sink before them."""
        decoder = self.module.decoder
        sink = run_prefix(decoder, decoder.embed(torch.tensor(self._packer.encode(PREFIX))))
        videos = tokens.view(-1, per_video, *tokens.shape[1:])
        return self.strategy.keep(decoder, videos, sink, ratio, past), sink

    def _run_questions(
        self,
        compressed: CompressedVideos,
        sink: LayerKv,
        picked: Int64[np.ndarray, "context chunk"],
        per_video: int,
        contexts: Sequence[Sequence[QaPair]],
    ) -> tuple[Float[Tensor, "context token width"], PackedQuestions]:
        """Run the questions behind their recalled chunks."""
        packed = self._packer.pack(contexts)
        idx = torch.from_numpy(picked)
        recalled = select_chunks(compressed, idx // per_video, idx % per_video)
        rows = run_text(
            self.module.decoder, sink, recalled, packed.ids, packed.question, packed.offset
        )
        return rows, packed

    def _are_right(
        self,
        compressed: CompressedVideos,
        sink: LayerKv,
        picked: Int64[np.ndarray, "context chunk"],
        per_video: int,
        contexts: Sequence[Sequence[QaPair]],
    ) -> list[list[bool]]:
        rows, packed = self._run_questions(compressed, sink, picked, per_video, contexts)
        return packed.are_right(self.module.decoder.logits(rows).argmax(-1))

    def _single_frame_loss(self, tokens: Tensor, chunks: Sequence[Chunk]) -> Float[Tensor, ""]:
        """Return the loss of naming single frames from their visual tokens."""
        pooled = tokens.view(len(tokens), CHUNK_FRAMES, FRAME_TOKENS, -1).mean(2)
        labels = summary_labels(
            chunks, self.features.facts, FRAME_TOKENS, frame_every=self.strategy.frame_every
        )
        labels[..., DIRECTION] = -1  # One frame alone need not tell a direction.
        return summary_loss(self.module.early(pooled), labels)


def gather_features(
    features: Features, chunks: Sequence[Chunk], rng: np.random.Generator
) -> Float[Tensor, "chunk frame patch width"]:
    """Return the features of chunks: the clip's, with cards in place of some frames."""
    gathered = features.clips[torch.tensor([chunk.clip for chunk in chunks])]
    for idx, chunk in enumerate(chunks):
        for card, start, length in chunk.cards:
            for frame in range(start, start + length):
                take = int(rng.integers(features.cards.shape[1]))
                gathered[idx, frame] = features.cards[card, take]
    return gathered
