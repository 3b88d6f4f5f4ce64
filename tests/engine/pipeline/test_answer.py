"""An answer: tokens as they come, then the record, within the model's positions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.answer import PROMPT_TOKENS, answer, not_found, spell_duration
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.protocols import Sampling
from engine.records import Answer, Turn
from engine.tensors import ChunkLatents, Token
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import CARD, ColourModel, story


@dataclass(frozen=True)
class ChattyModel(ColourModel):
    """Yields leading and trailing space, which an answer does not need."""

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        yield Token(text=f"  {len(recalled)} chunks,", chunk_mass=None)
        yield Token(text=f" {len(history)} turns ", chunk_mass=None)


def final(engine: Engine, question: str, **how: object) -> Answer:
    *_, last = answer(engine, question, **how)  # type: ignore[arg-type]
    assert isinstance(last, Answer)
    return last


def test_the_answer_is_its_tokens_and_comes_last(build: Callable[..., Engine]) -> None:
    engine = build(ChattyModel())
    list(ingest(engine, CAMERA, story("grey*20 red grey*20")))
    history = [Turn(question="What is it?", answer="A wall.")]
    *tokens, last = answer(engine, "When does the red flash come?", history=history)
    assert [token.text for token in tokens if isinstance(token, Token)] == [
        "  1 chunks,",
        " 1 turns ",
    ]
    assert isinstance(last, Answer)
    assert last.text == "1 chunks, 1 turns"
    timing = last.timing
    assert 0 < timing.retrieve_ms <= timing.first_token_ms <= timing.total_ms


def test_what_is_not_supported_is_answered_without_the_model(build: Callable[..., Engine]) -> None:
    engine = build(ChattyModel())
    list(ingest(engine, CAMERA, story("grey*90")))
    last = final(engine, "When does the red flash come?")
    assert last.text == not_found(90.0) == "Not found in 2 minutes of video."
    assert last.evidence == ()


@pytest.mark.parametrize("recall", ["top", "overview", "all"])
def test_asked_for_by_recall_the_model_always_answers(
    build: Callable[..., Engine], recall: str
) -> None:
    engine = build(ChattyModel())
    list(ingest(engine, CAMERA, story("grey*40")))
    last = final(engine, "When does the red flash come?", recall=recall)
    assert "turns" in last.text
    assert ("Nothing in 40 seconds" in last.text) == (recall == "top")


@pytest.mark.parametrize(
    ("question", "history"),
    [
        pytest.param("What colour is the red flash?", (), id="plain"),
        # Three bytes a character: a tokenizer may make as many tokens of it.
        pytest.param("赤い" * 12 + " red flash?", (), id="three bytes a character"),
        pytest.param(
            "What colour is it?",
            (Turn(question="When does the red flash come?", answer="色" * 9),),
            id="history",
        ),
    ],
)
def test_prompt_latents_and_answer_fit_the_positions_and_use_them(
    build: Callable[..., Engine], question: str, history: tuple[Turn, ...]
) -> None:
    most = 400
    engine = build(ColourModel(card=replace(CARD, max_positions=most)))
    list(ingest(engine, CAMERA, story("grey*900 red grey*20")))
    sampling = Sampling(max_tokens=60)
    last = final(engine, question, recall="all", sampling=sampling, history=history)
    texts = [question, *(text for turn in history for text in (turn.question, turn.answer))]
    n_bytes = sum(len(text.encode()) for text in texts)
    n_latents = last.recalled_chunks * CARD.latents_per_chunk
    n_used = n_latents + n_bytes + PROMPT_TOKENS * (1 + len(history)) + sampling.max_tokens
    # An even step may fall on the best hit, which is recalled once: one chunk less then.
    assert most - 2 * CARD.latents_per_chunk < n_used <= most


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (0.4, "0 seconds"),
        (1.0, "1 second"),
        (42.0, "42 seconds"),
        (60.0, "1 minute"),
        (3569.0, "59 minutes"),
        (3600.0, "1 hour"),
        (7505.0, "2 hours 5 minutes"),
    ],
)
def test_durations_are_spelled_in_words(duration_s: float, expected: str) -> None:
    assert spell_duration(duration_s) == expected


@given(duration_s=st.floats(0, 1e6))
def test_a_spelled_duration_is_within_half_a_minute(duration_s: float) -> None:
    units = {"second": 1, "minute": 60, "hour": 3600}
    words = spell_duration(duration_s).split()
    total_s = sum(
        int(count) * units[unit.removesuffix("s")]
        for count, unit in zip(words[::2], words[1::2], strict=True)
    )
    assert abs(total_s - duration_s) <= 31
