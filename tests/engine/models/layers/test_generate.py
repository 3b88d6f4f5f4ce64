"""Sampling and streaming of answers."""

from collections.abc import Sequence

import pytest
import torch

from engine.models.layers.decoder import Decoder, DecoderConfig
from engine.models.layers.generate import generate, picker
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


def test_greedy_takes_the_largest() -> None:
    assert picker(Sampling())(torch.tensor([0.1, 3.0, 2.9])) == 1


def test_a_seed_repeats_and_another_differs() -> None:
    logits = torch.zeros(1000)
    draws = [
        [picker(Sampling(temperature=1.0, seed=seed))(logits) for _ in range(1)]
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_top_p_never_draws_from_the_tail() -> None:
    pick = picker(Sampling(temperature=1.0, top_p=0.6, seed=0))
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    assert {pick(logits) for _ in range(200)} == {0, 1}


def test_the_first_choice_stays_however_small_top_p_is() -> None:
    pick = picker(Sampling(temperature=1.0, top_p=1e-6, seed=0))
    assert {pick(torch.tensor([0.0, 1.0, 0.9])) for _ in range(50)} == {1}


def test_a_low_temperature_sharpens() -> None:
    pick = picker(Sampling(temperature=0.01, seed=0))
    assert {pick(torch.tensor([0.0, 1.0, 0.5])) for _ in range(50)} == {1}


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
