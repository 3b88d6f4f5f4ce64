"""Autoregressive answers: prefill, decode, sampling."""

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
    buffer: KvBuffer,
    prompt: Float[Tensor, "token width"],
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    stop: frozenset[int],
    chunks: Sequence[range] | None = None,
) -> Iterator[Token]:
    """Answer a prompt behind a filled KV cache, token by token.

    Args:
        decoder: In evaluation mode.
        buffer: Keys and values before the prompt; appended to in place.
        prompt: Embeddings of the tokens that follow, the opening of the answer included.
        tokenizer: For the text of the ids.
        sampling: Greedy at temperature 0, else seeded.
        stop: Ids that end the answer; they are not yielded.
        chunks: Positions of each recalled chunk in the buffer; `None` leaves the mass out.
    Yields:
        A token whenever its ids make whole characters; the mass is that of its last step.
    Raises:
        ValueError: The prompt is empty.
    """
    if not prompt.shape[0]:
        raise ValueError("prompt must hold at least one token")
    attn_weights: list[Tensor] | None = None if chunks is None else []
    for part in torch.split(prompt, PREFILL_TOKENS):
        if attn_weights:
            attn_weights.clear()
        hidden = decoder.extend(part[None], buffer, attn_weights=attn_weights)
    pick = picker(sampling)
    ids, text_so_far = list[int](), ""
    for step in range(sampling.max_tokens):
        next_id = pick(decoder.logits(hidden[0, -1]))
        if next_id in stop:
            break
        ids.append(next_id)
        text = tokenizer.decode(ids)
        is_last = step + 1 == sampling.max_tokens
        # A character may take several ids; until it is whole the tokenizer shows U+FFFD.
        if is_last or not text.endswith("\ufffd"):
            yield Token(text=text[len(text_so_far) :], chunk_mass=_mass(attn_weights, chunks))
            text_so_far = text
        if is_last:
            break
        if attn_weights is not None:
            attn_weights.clear()
        embedded = decoder.embed(torch.tensor([[next_id]], device=prompt.device))
        hidden = decoder.extend(embedded, buffer, attn_weights=attn_weights)


def picker(sampling: Sampling) -> Callable[[Tensor], int]:
    """Return the function that draws the next id from logits; seeded draws repeat anywhere."""
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    # On the CPU, whose generator gives the same numbers beside any accelerator.
    random = torch.Generator().manual_seed(sampling.seed)

    def draw(logits: Tensor) -> int:
        probabilities = (logits.float().cpu() / sampling.temperature).softmax(-1)
        ranked, order = probabilities.sort(descending=True)
        # An id stays while the mass before it is below top_p, so the likeliest always stays.
        ranked[ranked.cumsum(-1) - ranked >= sampling.top_p] = 0
        return int(order[torch.multinomial(ranked, 1, generator=random)])

    return draw


def _mass(
    attn_weights: list[Tensor] | None, chunks: Sequence[range] | None
) -> Float32[Tensor, " chunk"] | None:
    """Sum the attention on each chunk, averaged over layers and heads."""
    if attn_weights is None or chunks is None:
        return None
    mean = torch.stack([weights[0, -1] for weights in attn_weights]).mean(0)
    # Differences of one running sum serve any number of chunks.
    ends = torch.nn.functional.pad(mean.cumsum(0), (1, 0)).cpu()
    starts = torch.tensor([chunk.start for chunk in chunks], dtype=torch.int64)
    stops = torch.tensor([chunk.stop for chunk in chunks], dtype=torch.int64)
    return (ends[stops] - ends[starts]).clamp_min(0)


def stepwise(tokens: Iterator[Token]) -> Iterator[Token]:
    """Yield the tokens of a generator that runs in inference mode, entered anew for each.

    Held across a yield the mode would rule the caller too, and a decorator does not see a
    generator through a type checker's wrapper.
    """
    while (token := _next(tokens)) is not None:
        yield token


@torch.inference_mode()
def _next(tokens: Iterator[Token]) -> Token | None:
    return next(tokens, None)
