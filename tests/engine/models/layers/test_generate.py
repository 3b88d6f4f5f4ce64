"""Sampling and streaming of answers."""

from collections.abc import Sequence

import pytest
import torch

from engine.models.layers.decoder import Decoder
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.generate import generate
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling


class _Letters(Tokenizer):
    """Ids are bytes of UTF-8."""

    def __init__(self) -> None:
        super().__init__(None)

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")


def _decoder() -> Decoder:
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=256, width=16, mlp_width=24, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=8
    )
    decoder = Decoder(config).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return decoder


def test_generation_equals_asking_again_after_every_token() -> None:
    decoder, prompt = _decoder(), torch.tensor([3, 1, 4, 1, 5])
    with torch.inference_mode():
        ids = prompt.tolist()
        for _ in range(6):
            whole = decoder.extend(decoder.embed(torch.tensor([ids])), decoder.buffer(32))
            ids.append(int(decoder.logits(whole[0, -1]).argmax()))
        tokens = list(
            generate(
                decoder,
                decoder.buffer(4),
                decoder.embed(prompt),
                _Letters(),
                Sampling(max_tokens=6),
                stop=frozenset(),
            )
        )
    assert "".join(token.text for token in tokens) == _Letters().decode(ids[5:])


def test_a_stop_id_ends_the_answer_and_is_not_said() -> None:
    decoder = _decoder()
    with torch.inference_mode():
        memory, prompt = decoder.buffer(4), decoder.embed(torch.tensor([3]))
        first = int(decoder.logits(decoder.extend(prompt[None], memory)[0, -1]).argmax())
        tokens = generate(
            decoder,
            decoder.buffer(4),
            prompt,
            _Letters(),
            Sampling(max_tokens=6),
            stop=frozenset({first}),
        )
        assert list(tokens) == []


def test_an_empty_prompt_is_refused() -> None:
    decoder = _decoder()
    with pytest.raises(ValueError, match="prompt"):
        next(
            generate(
                decoder,
                decoder.buffer(4),
                torch.zeros(0, 16),
                _Letters(),
                Sampling(),
                stop=frozenset(),
            )
        )
