"""Prefill, decode, sampling: yields Token after Token."""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling
from engine.tensors import Token

PREFILL_TOKENS = 1024
"""Prompt tokens a step; bounds the memory of a long question."""


def generate(
    decoder: Decoder,
    memory: KvBuffer,
    prompt: Float[Tensor, "token width"],
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    stop: frozenset[int],
    chunks: Sequence[range] | None = None,
) -> Iterator[Token]:
    """Answer a prompt behind a memory.

    Args:
        decoder: In evaluation mode.
        memory: Appended to in place; hand in a fork to keep the original.
        prompt: Embeddings of what follows the memory.
        tokenizer: For the text of the ids.
        sampling: Greedy at temperature 0, else seeded.
        stop: Ids that end the answer; they are not yielded.
        chunks: Where each recalled chunk lies in the memory; `None` leaves the mass out.
    Yields:
        A token whenever its ids make whole characters; the mass is that of its last step.
    Raises:
        ValueError: The prompt is empty.
    """
    if not prompt.shape[0]:
        raise ValueError("prompt must hold at least one token")
    looks: list[Tensor] | None = None if chunks is None else []
    for part in torch.split(prompt, PREFILL_TOKENS):
        if looks:
            looks.clear()
        hidden = decoder.extend(part[None], memory, looks=looks)
    pick = picker(sampling)
    ids, said = list[int](), ""
    for step in range(sampling.max_tokens):
        next_id = pick(decoder.logits(hidden[0, -1]))
        if next_id in stop:
            break
        ids.append(next_id)
        text = tokenizer.decode(ids)
        is_last = step + 1 == sampling.max_tokens
        # A character may take several ids; until it is whole the decoder shows U+FFFD.
        if is_last or not text.endswith("\ufffd"):
            yield Token(text=text[len(said) :], chunk_mass=_mass(looks, chunks))
            said = text
        if is_last:
            break
        if looks is not None:
            looks.clear()
        embedded = decoder.embed(torch.tensor([[next_id]], device=prompt.device))
        hidden = decoder.extend(embedded, memory, looks=looks)


def picker(sampling: Sampling) -> Callable[[Tensor], int]:
    """How the next id is drawn from logits; seeded draws repeat on any device."""
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    random = torch.Generator().manual_seed(sampling.seed)

    def draw(logits: Tensor) -> int:
        chances = (logits.float().cpu() / sampling.temperature).softmax(-1)
        ranked, order = chances.sort(descending=True)
        ranked[ranked.cumsum(-1) - ranked >= sampling.top_p] = 0
        return int(order[torch.multinomial(ranked, 1, generator=random)])

    return draw


def _mass(
    looks: list[Tensor] | None, chunks: Sequence[range] | None
) -> Float32[Tensor, " chunk"] | None:
    """Attention on each chunk, averaged over layers and heads."""
    if looks is None or chunks is None:
        return None
    mean = torch.stack([look[0, -1] for look in looks]).mean(0)
    ends = torch.nn.functional.pad(mean.cumsum(0), (1, 0)).cpu()
    starts = torch.tensor([chunk.start for chunk in chunks], dtype=torch.int64)
    stops = torch.tensor([chunk.stop for chunk in chunks], dtype=torch.int64)
    return (ends[stops] - ends[starts]).clamp_min(0)


def stepwise(said: Iterator[Token]) -> Iterator[Token]:
    """Tokens of a generator that runs in inference mode, entered anew for each of them.

    Held across a yield the mode would rule the caller too, and a decorator does not see a
    generator through a type checker's wrapper.
    """
    while (token := _next(said)) is not None:
        yield token


@torch.inference_mode()
def _next(said: Iterator[Token]) -> Token | None:
    return next(said, None)
