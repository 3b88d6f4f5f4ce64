"""Decoding of several answers in one step, so that the weights are read once for all of them.

Decision: whoever wants the next token of an answer asks `SharedSteps` from a thread of its own; of
those who wait, the first runs the step for all, *because* then nothing above knows of batches: an
answer stays a generator that may be paused, closed or left alone at any token. *Measured*
(`longwatch bench answer`): see docs/benchmarks.md.

Decision: products with the weights are joined and attention is not: every answer has a KV cache of
its own length, read by the kernel that would read it alone.

Source: continuous batching of single steps is Orca's (OSDI 2022).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from engine.models.layers.attention import AttentionMask, attend, attention_weights
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.rotary import apply_rope

MOST_TOGETHER = 16
"""Answers in one step."""
GATHER_S = 0.002
"""Longest wait for an answer that shared the step before; one that is read slowly is left behind
and joins again when it asks."""


@dataclass(slots=True, eq=False)
class StepRequest:
    """One token to run behind one answer's KV cache."""

    embedded: Float[Tensor, "1 1 width"]
    buffer: KvBuffer
    attn_weights: list[Tensor] | None
    """Receives each layer's attention weights, averaged over heads, of shape `1 1 key`."""
    logits: Float[Tensor, " vocab"] | None = None
    is_over: bool = False
    """Whether the step was run; without logits it failed."""


class SharedSteps:
    """Steps of a decoder on the CPU, joined where several answers want one at a time.

    Safe to use from several threads, each with an answer of its own.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._changed = threading.Condition()
        self._waiting: list[StepRequest] = []
        self._together: set[int] = set()
        """Identities of the KV caches of answers that shared the last step and go on."""
        self._is_running = False

    def leave(self, buffer: KvBuffer) -> None:
        """Say that an answer is at its end, so that nobody waits for it."""
        with self._changed:
            self._together.discard(id(buffer))
            self._changed.notify_all()

    def step(
        self,
        embedded: Float[Tensor, "1 1 width"],
        buffer: KvBuffer,
        attn_weights: list[Tensor] | None = None,
    ) -> Float[Tensor, " vocab"]:
        """Run one token behind a KV cache, together with those of other answers that wait.

        Args:
            embedded: The token.
            buffer: Read and appended to in place.
            attn_weights: Receives each layer's attention weights, averaged over heads.
        Returns:
            Logits of the next token.
        A step that fails in the thread of another answer is run again for this one.
        """
        while True:
            if attn_weights is not None:
                attn_weights.clear()
            request = StepRequest(embedded, buffer, attn_weights)
            if self._wait(request):
                self._lead()
            if request.logits is not None:
                return request.logits

    def _wait(self, request: StepRequest) -> bool:
        """Wait until a step is over, or has to be run by this thread; return whether it has."""
        is_settled = False
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: request.is_over or self._leads(request))
                is_settled = True
            finally:
                if not is_settled and request in self._waiting:
                    # Interrupted: nobody must wait for the one who would have led.
                    self._waiting.remove(request)
                    self._changed.notify_all()
            self._is_running = self._is_running or not request.is_over
            return not request.is_over

    def _leads(self, request: StepRequest) -> bool:
        return not self._is_running and self._waiting[0] is request

    def _lead(self) -> None:
        """Run a step for all who wait, the caller first."""
        requests = list[StepRequest]()
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._missing(), GATHER_S)
                requests += self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                self._together = {id(request.buffer) for request in requests}
            _run(self._decoder, requests)
        finally:
            with self._changed:
                self._is_running = False
                for request in requests:
                    request.is_over = True
                self._changed.notify_all()

    def _missing(self) -> set[int]:
        if len(self._waiting) >= MOST_TOGETHER:
            return set()
        return self._together - {id(request.buffer) for request in self._waiting}


def _run(decoder: Decoder, requests: Sequence[StepRequest]) -> None:
    """Run one token of each answer, and hand out the logits."""
    if len(requests) == 1:
        (request,) = requests
        hidden = decoder.extend(request.embedded, request.buffer, attn_weights=request.attn_weights)
    else:
        hidden = extend_together(decoder, requests)
    logits = decoder.logits(hidden[:, -1])
    for request, row in zip(requests, logits, strict=True):
        request.logits = row


def extend_together(
    decoder: Decoder, requests: Sequence[StepRequest]
) -> Float[Tensor, "answer 1 width"]:
    """Run one token of each answer behind its own KV cache, and append it there.

    Returns:
        Rows after the final norm.
    """
    x = torch.cat([request.embedded for request in requests])
    positions = [request.buffer.n + request.buffer.shift for request in requests]
    for request in requests:
        request.buffer.reserve(1)
    rope = decoder.rope(torch.tensor(positions, device=x.device))
    mask = AttentionMask(None)
    for depth, layer in enumerate(decoder.stack()):
        attention = layer.attention
        q, k, v = attention.split(attention.qkv(layer.attention_norm(x)))
        # Answers stand at positions of their own: for the rotation they are one sequence.
        q, k = (apply_rope(rows.transpose(0, 2), rope).transpose(0, 2) for rows in (q, k))
        mixed = []
        for row, request in enumerate(requests):
            end, row_q = request.buffer.n + 1, q[row : row + 1]
            keys, values = request.buffer.keys[depth], request.buffer.values[depth]
            keys[:, :, end - 1 : end] = k[row : row + 1]
            values[:, :, end - 1 : end] = v[row : row + 1]
            if request.attn_weights is not None:
                weights = attention_weights(row_q, keys[:, :, :end], mask)
                request.attn_weights.append(weights)
            mixed.append(attend(row_q, keys[:, :, :end], values[:, :, :end], mask))
        x = x + attention.merge(torch.cat(mixed))
        x = x + layer.mlp(x)
    for request in requests:
        request.buffer.n += 1
    out: Tensor = decoder.norm(x)
    return out
