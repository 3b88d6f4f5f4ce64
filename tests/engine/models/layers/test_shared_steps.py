"""Answers that decode side by side say what each would say alone."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch

from engine.models.layers import shared_steps
from engine.models.layers.decoder import Decoder, KvBuffer
from engine.models.layers.decoder_config import DecoderConfig
from engine.models.layers.generate import generate, stepwise
from engine.models.layers.shared_steps import SharedSteps, StepRequest, extend_together
from engine.models.layers.tokenizer import Tokenizer
from engine.protocols import Sampling
from engine.tensors import Token

N_TOKENS = 12


class _Letters(Tokenizer):
    """Ids are letters."""

    def __init__(self) -> None:
        super().__init__(None)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(0x4E00 + token) for token in ids)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "qk_norm"])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=96,
        width=32,
        mlp_width=48,
        n_layers=3,
        n_heads=4,
        n_kv_heads=2,
        head_dim=8,
        has_qk_norm=request.param,
    )
    net = Decoder(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn_like(parameter) * parameter.shape[-1] ** -0.5)
    return net


def answer(decoder: Decoder, number: int, shared: SharedSteps | None = None) -> Iterator[Token]:
    """Tokens of one of many questions, each behind a past of its own length."""
    n_past = 3 + 5 * number
    ids = torch.randint(0, 96, (n_past + 4,), generator=torch.Generator().manual_seed(number))
    with torch.inference_mode():
        buffer = decoder.buffer(n_past)
        decoder.extend(decoder.embed(ids[None, :n_past]), buffer)
        # As behind grids, whose tokens share positions.
        buffer.shift = -number
        rows = decoder.embed(ids[n_past:])
    tokens = generate(
        decoder,
        buffer,
        rows,
        _Letters(),
        Sampling(max_tokens=N_TOKENS),
        stop=frozenset(),
        chunks=[range(1, 3), range(3, n_past)],
        shared=shared,
    )
    return stepwise(tokens, torch.device("cpu"))


def _read(tokens: Iterator[Token]) -> None:
    next(tokens)


def at_once(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Answers in each step that was run, as the test goes on."""
    run, seen = shared_steps._run, list[int]()

    def counted(net: Decoder, requests: list[StepRequest]) -> None:
        seen.append(len(requests))
        run(net, requests)

    monkeypatch.setattr(shared_steps, "_run", counted)
    # A busy machine may take its time to wake a thread.
    monkeypatch.setattr(shared_steps, "GATHER_S", 5.0)
    return seen


def test_one_step_of_many_is_the_step_of_each(decoder: Decoder) -> None:
    generator = torch.Generator().manual_seed(7)
    alone, joined = list[KvBuffer](), list[KvBuffer]()
    with torch.inference_mode():
        for n_past in (1, 9, 30):
            ids = torch.randint(0, 96, (1, n_past), generator=generator)
            for buffers in (alone, joined):
                buffers.append(decoder.buffer(n_past))
                decoder.extend(decoder.embed(ids), buffers[-1])
        rows = [decoder.embed(torch.tensor([[token]])) for token in (3, 1, 4)]
        requests = [StepRequest(row, buffer, []) for row, buffer in zip(rows, joined, strict=True)]
        together = extend_together(decoder, requests)
        for idx, (row, buffer) in enumerate(zip(rows, alone, strict=True)):
            weights = list[torch.Tensor]()
            single = decoder.extend(row, buffer, attn_weights=weights)
            torch.testing.assert_close(together[idx], single[0])
            assert joined[idx].n == buffer.n
            torch.testing.assert_close(
                joined[idx].keys[:, :, :, : buffer.n], buffer.keys[:, :, :, : buffer.n]
            )
            of_request = requests[idx].attn_weights
            assert of_request is not None
            torch.testing.assert_close(torch.stack(of_request), torch.stack(weights))


def test_eight_answers_at_once_are_those_of_eight_in_turn(
    decoder: Decoder, sizes: list[int]
) -> None:
    expected = [list(answer(decoder, number)) for number in range(8)]
    sizes.clear()
    shared, got = SharedSteps(decoder), dict[int, list[Token]]()
    all_here = threading.Barrier(8)

    def ask(number: int) -> None:
        tokens = answer(decoder, number, shared)
        got[number] = [next(tokens)]
        all_here.wait()
        got[number] += tokens

    at_once([partial(ask, number) for number in range(8)])
    for number, tokens in enumerate(expected):
        assert [token.text for token in got[number]] == [token.text for token in tokens]
        for mine, theirs in zip(got[number], tokens, strict=True):
            assert mine.chunk_mass is not None
            assert theirs.chunk_mass is not None
            torch.testing.assert_close(mine.chunk_mass, theirs.chunk_mass)
    assert sum(sizes) == 8 * (N_TOKENS - 1)
    # A thread of a busy machine may join late, but until the first answer ends nobody leaves.
    before_any_ends = sizes[: N_TOKENS - 1]
    assert before_any_ends == sorted(before_any_ends), "who shared one step shares the next"
    assert max(sizes) > 1


def test_answer_that_is_closed_holds_up_nobody(decoder: Decoder, sizes: list[int]) -> None:
    expected = "".join(token.text for token in answer(decoder, 1))
    shared, both = SharedSteps(decoder), threading.Barrier(2)
    got = list[str]()

    def leaves() -> None:
        tokens = answer(decoder, 0, shared)
        next(tokens)
        both.wait()
        next(tokens)
        tokens.close()  # type: ignore[attr-defined]

    def stays() -> None:
        tokens = answer(decoder, 1, shared)
        got.append(next(tokens).text)
        both.wait()
        got.extend(token.text for token in tokens)

    at_once([leaves, stays])
    assert "".join(got) == expected


def test_slow_reader_is_left_behind(
    decoder: Decoder, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedSteps(decoder)
    slow, quick = answer(decoder, 0, shared), answer(decoder, 1, shared)
    next(slow)
    next(quick)
    at_once([partial(_read, slow), partial(_read, quick)])
    monkeypatch.setattr(shared_steps, "GATHER_S", 0.001)
    assert len(list(quick)) == N_TOKENS - 2
    assert len(list(slow)) == N_TOKENS - 2


def test_failure_in_the_thread_of_one_answer_ends_no_other(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, failed = shared_steps._run, list[int]()

    def fails_once(net: Decoder, requests: list[StepRequest]) -> None:
        if not failed:
            failed.append(len(requests))
            raise MemoryError
        run(net, requests)

    monkeypatch.setattr(shared_steps, "_run", fails_once)
    failed.append(0)
    shared, ends = SharedSteps(decoder), list[str]()
    expected = ["".join(token.text for token in answer(decoder, number)) for number in range(3)]
    failed.clear()

    def ask(number: int) -> None:
        try:
            ends.append("".join(token.text for token in answer(decoder, number, shared)))
        except MemoryError:
            ends.append("failed")

    at_once([partial(ask, number) for number in range(3)])
    assert ends.count("failed") == 1
    assert len(ends) == 3
    assert set(ends) - {"failed"} < set(expected)
