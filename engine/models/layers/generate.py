"""Autoregressive answers: prefill, decode, sampling."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from engine import device as devices
from engine.models.layers.decode import DeviceSteps, Step, chunk_edges
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.picking import Picker
from engine.models.layers.prompt_rows import PREFILL_TOKENS
from engine.models.layers.shared_steps import SharedSteps
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling
from engine.tensors import Token


def generate(
    decoder: Decoder,
    buffer: KvBuffer,
    prompt: Float[Tensor, "token width"],
    tokenizer: Tokenizer,
    sampling: Sampling,
    *,
    stop: frozenset[int],
    chunks: Sequence[range] | None = None,
    shared: SharedSteps | None = None,
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
        shared: Of this decoder, for answers that run beside each other on the CPU.
    Yields:
        A token whenever its ids make whole characters; the mass is that of its last step.
    Raises:
        ValueError: The prompt is empty.
    """
    if not prompt.shape[0]:
        raise ValueError("prompt must hold at least one token")
    logits, mass = first_step(decoder, buffer, prompt, chunks)
    picker = Picker(sampling, logits)
    if prompt.device.type != "cpu":
        ahead = DeviceSteps(decoder, buffer, picker, max_tokens=sampling.max_tokens, chunks=chunks)
        steps = steps_ahead(ahead, logits, mass, sampling.max_tokens)
        yield from _spelled(steps, tokenizer, sampling.max_tokens, stop)
        return
    shared = shared or SharedSteps(decoder)
    steps = _steps_on_host(decoder, shared, buffer, picker, logits, mass, chunks)
    try:
        yield from _spelled(steps, tokenizer, sampling.max_tokens, stop)
    finally:
        shared.leave(buffer)


def first_step(
    decoder: Decoder,
    buffer: KvBuffer,
    prompt: Float[Tensor, "token width"],
    chunks: Sequence[range] | None,
) -> tuple[Float[Tensor, " vocab"], Float32[Tensor, " chunk"] | None]:
    """Run a prompt; return the logits behind it, and its last row's attention on each chunk."""
    attn_weights: list[Tensor] | None = None if chunks is None else []
    for part in torch.split(prompt, PREFILL_TOKENS):
        if attn_weights:
            attn_weights.clear()
        hidden = decoder.extend(part[None], buffer, attn_weights=attn_weights)
    return decoder.logits(hidden[0, -1]), _mass(attn_weights, chunks)


def steps_ahead(
    steps: DeviceSteps,
    logits: Float[Tensor, " vocab"],
    mass: Float32[Tensor, " chunk"] | None,
    max_tokens: int,
) -> Iterator[Step]:
    """Yield the steps of an answer, each read while the next one runs already.

    An answer that ends early has computed one step for nothing.
    """
    waiting = steps.first(logits, mass)
    for _ in range(max_tokens - 1):
        running = steps.advance()
        yield steps.read(waiting)
        waiting = running
    yield steps.read(waiting)


def _steps_on_host(
    decoder: Decoder,
    shared: SharedSteps,
    buffer: KvBuffer,
    picker: Picker,
    logits: Float[Tensor, " vocab"],
    mass: Float32[Tensor, " chunk"] | None,
    chunks: Sequence[range] | None,
) -> Iterator[Step]:
    """Yield steps of which none is computed before it is asked for; there is no end to them."""
    attn_weights: list[Tensor] | None = None if chunks is None else []
    while True:
        picker.draw_noise()
        token_id = picker.pick(logits)
        yield Step(int(token_id), mass)
        logits = shared.step(decoder.embed(token_id.view(1, 1)), buffer, attn_weights)
        mass = _mass(attn_weights, chunks)


def _spelled(
    steps: Iterator[Step], tokenizer: Tokenizer, max_tokens: int, stop: frozenset[int]
) -> Iterator[Token]:
    """Yield the text of steps, up to an id that ends the answer."""
    ids, text_so_far = list[int](), ""
    for step in steps:
        if step.token_id in stop:
            return
        ids.append(step.token_id)
        text = tokenizer.decode(ids)
        is_last = len(ids) == max_tokens
        # A character may take several ids; until it is whole the tokenizer shows U+FFFD.
        if is_last or not text.endswith("\ufffd"):
            yield Token(text=text[len(text_so_far) :], chunk_mass=step.mass)
            text_so_far = text
        if is_last:
            return


def _mass(
    attn_weights: list[Tensor] | None, chunks: Sequence[range] | None
) -> Float32[Tensor, " chunk"] | None:
    """Sum the attention on each chunk, averaged over layers and heads; where the weights are."""
    if attn_weights is None or chunks is None:
        return None
    mean = torch.stack([weights[0, -1] for weights in attn_weights]).mean(0)
    # Differences of one running sum serve any number of chunks.
    running = torch.nn.functional.pad(mean.cumsum(0), (1, 0))
    ends = running[chunk_edges(chunks, mean.device)]
    return (ends[1] - ends[0]).clamp_min(0)


def stepwise(tokens: Iterator[Token], device: torch.device) -> Iterator[Token]:
    """Yield the tokens of a generator that runs in inference mode, entered anew for each.

    Held across a yield the mode would rule the caller too, and a decorator does not see a
    generator through a type checker's wrapper. Its work stands in the device's lane for answers.
    """
    while (token := _next(tokens, device)) is not None:
        yield token


@torch.inference_mode()
def _next(tokens: Iterator[Token], device: torch.device) -> Token | None:
    with devices.lane(device, "answer"):
        return next(tokens, None)
