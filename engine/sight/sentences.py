"""MiniLM: texts as unit vectors whose cosine says how near their meanings are.

Written out, because the import of transformers takes longer than a search may.

Source: Wang et al., MiniLM (arXiv:2002.10957); sentence-transformers/all-MiniLM-L6-v2: the mean of
    the last layer over the tokens, made unit length. The network is BERT's encoder.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Final

import tokenizers
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import WeightsError
from engine.models.layers.products import Linear
from engine.sight import parts

NAME: Final = "all-MiniLM-L6-v2"
"""Under which vectors of texts are kept."""
DIM: Final = 384
MAX_TOKENS: Final = 256
"""Longer texts are cut, as the authors do."""
BATCH: Final = 64
PHRASES_KEPT: Final = 512
"""Vectors of phrases that are kept: one search needs that of its words more than once."""
_N_HEADS = 12
_NORM_EPS = 1e-12


class SentenceEncoder:
    """The network with its tokenizer; safe to use from several threads."""

    def __init__(self, *, device: torch.device | None = None) -> None:
        """Load the weights that the package brings.

        Raises:
            MissingCapabilityError: Their package is not installed.
            WeightsError: A file is not the one that was published.
        """
        self._device = device or torch.device("cpu")
        net = Bert(load_file(parts.find(parts.SENTENCES)), n_heads=_N_HEADS)
        self._net = net.eval().requires_grad_(False).to(self._device)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(parts.find(parts.SENTENCES_TOKENIZER)))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()
        # The released vocabulary is of lower case: phrases that differ in case are one.
        self._phrase = lru_cache(maxsize=PHRASES_KEPT)(lambda text: self.encode([text])[0])

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Float32[Tensor, "text 384"]:
        """Return a unit vector for each text, on the CPU."""
        vectors = torch.empty(len(texts), DIM)
        ids = [self._tokenizer.encode(text).ids for text in texts]
        # Texts of like length together: the padding of a batch is work for nothing.
        order = sorted(range(len(texts)), key=lambda idx: len(ids[idx]))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = self._encode([ids[idx] for idx in batch]).cpu()
        return vectors

    def encode_phrase(self, text: str) -> Float32[Tensor, " 384"]:
        """Return the unit vector of a phrase that may come again; it must not be changed."""
        return self._phrase(text.lower())

    def _encode(self, rows: list[list[int]]) -> Tensor:
        width = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.int64, device=self._device)
        for idx, row in enumerate(rows):
            ids[idx, : len(row)] = torch.tensor(row)
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        mask = torch.arange(width, device=self._device)[None] < lengths[:, None]
        states = self._net(ids, mask)
        return F.normalize((states * mask[..., None]).sum(1), dim=-1)


_opening = threading.Lock()


def shared_encoder() -> SentenceEncoder:
    """Return the one encoder of this process, on the CPU; it is loaded when first asked for.

    Raises:
        MissingCapabilityError: The package of its weights is not installed.
        WeightsError: A file is not the one that was published.
    """
    with _opening:
        return _opened()


@cache
def _opened() -> SentenceEncoder:
    return SentenceEncoder()


class Bert(nn.Module):
    """The encoder of BERT without its pooler, for texts of one segment."""

    def __init__(self, weights: Mapping[str, Tensor], *, n_heads: int) -> None:
        """Take released weights; names are transformers' own.

        Raises:
            WeightsError: Weights are missing, or some have no place.
        """
        super().__init__()
        words = weights["embeddings.word_embeddings.weight"]
        width = words.shape[1]
        n_layers = len({name.split(".")[2] for name in weights if name.startswith("encoder.layer")})
        inner = weights["encoder.layer.0.intermediate.dense.weight"].shape[0]
        positions = weights["embeddings.position_embeddings.weight"]
        segments = weights["embeddings.token_type_embeddings.weight"]
        self.word, self.position, self.segment = (
            nn.Embedding(table.shape[0], table.shape[1], _weight=table)
            for table in (words, positions, segments)
        )
        # Without memory: what it would be born with is drawn at random, and replaced. (Of a table
        # torch would load its compiler for that, which takes a second.)
        with torch.device("meta"):
            self.norm = nn.LayerNorm(width, eps=_NORM_EPS)
            self.layers = nn.ModuleList(_Layer(width, inner, n_heads) for _ in range(n_layers))
        self._fill(weights)

    def forward(
        self, ids: Int64[Tensor, "text token"], mask: Bool[Tensor, "text token"]
    ) -> Float[Tensor, "text token width"]:
        """Return the last layer's states; those of masked tokens mean nothing."""
        x = self.word(ids) + self.position.weight[: ids.shape[1]] + self.segment.weight[0]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        states: Tensor = x
        return states

    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        unplaced = {
            name: value
            for name, value in weights.items()
            if name != "embeddings.position_ids" and not name.startswith("pooler.")
        }
        placed = {}
        for name, parameter in self.named_parameters():
            released = _released(name)
            if released not in unplaced or unplaced[released].shape != parameter.shape:
                raise WeightsError(f"the sentence encoder's weights lack {released}, or its shape")
            placed[name] = unplaced.pop(released)
        if unplaced:
            raise WeightsError(f"no place in the sentence encoder for {', '.join([*unplaced][:3])}")
        self.load_state_dict(placed, assign=True)


class _Layer(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised behind its sum."""

    def __init__(self, width: int, inner: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value = (Linear(width, width) for _ in range(3))
        self.out = Linear(width, width)
        self.out_norm = nn.LayerNorm(width, eps=_NORM_EPS)
        self.up, self.down = Linear(width, inner), Linear(inner, width)
        self.down_norm = nn.LayerNorm(width, eps=_NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        n_texts, n_tokens, width = x.shape

        def heads(linear: nn.Linear) -> Tensor:
            # text token (head dim) -> text head token dim
            y: Tensor = linear(x)
            return y.view(n_texts, n_tokens, self.n_heads, -1).transpose(1, 2)

        y = F.scaled_dot_product_attention(
            heads(self.query), heads(self.key), heads(self.value), attn_mask=mask
        )
        y = y.transpose(1, 2).reshape(n_texts, n_tokens, width)
        x = self.out_norm(x + self.out(y))
        normed: Tensor = self.down_norm(x + self.down(F.gelu(self.up(x))))
        return normed


_NAMES = {
    "word": "embeddings.word_embeddings",
    "position": "embeddings.position_embeddings",
    "segment": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "out_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "down_norm": "output.LayerNorm",
}


def _released(name: str) -> str:
    """Return the released name of a parameter."""
    *path, module, kind = name.split(".")
    prefix = f"encoder.layer.{path[1]}." if path else ""
    return f"{prefix}{_NAMES[module]}.{kind}"
