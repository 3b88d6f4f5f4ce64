"""Questions as padded rows, and which of them are right."""

import pytest
from tokenizers import Tokenizer

from engine.models.layers.splice import IGNORED_LABEL
from engine.training.nano.packing import QuestionPacker
from engine.training.nano.questions import QaPair
from engine.training.nano.vocabulary import train_vocabulary

FIRST = QaPair("colour", "What colour is the car?", "Red.")
SECOND = QaPair("exist", "Is there a dog?", "No.")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_vocabulary()


def test_labels_are_the_answers_and_their_ends_one_token_ahead(tokenizer: Tokenizer) -> None:
    packed = QuestionPacker(tokenizer).pack([[FIRST]])
    labels = packed.labels[0]
    is_label = labels != IGNORED_LABEL
    learnt = labels[is_label].tolist()
    assert tokenizer.decode(learnt, skip_special_tokens=False) == "Red.<|im_end|>"
    # The row at a label reads the token before it.
    assert packed.ids[0, is_label][1:].tolist() == learnt[:-1]
    assert tokenizer.decode(packed.ids[0].tolist(), skip_special_tokens=False) == (
        "\nWhat colour is the car?<|im_end|>\n<|im_start|>assistant\nRed."
    )


def test_questions_of_a_context_each_begin_at_offset_0(tokenizer: Tokenizer) -> None:
    packed = QuestionPacker(tokenizer).pack([[FIRST, SECOND], [SECOND]])
    for number in (0, 1):
        offsets = packed.offset[0][packed.question[0] == number].tolist()
        assert offsets == list(range(len(offsets)))
    n_second = int((packed.question[1] == 0).sum())
    assert (packed.question[1, n_second:] == -1).all()
    assert (packed.labels[1, n_second:] == IGNORED_LABEL).all()


def test_one_wrong_token_fails_its_own_question_alone(tokenizer: Tokenizer) -> None:
    packed = QuestionPacker(tokenizer).pack([[FIRST, SECOND], [SECOND]])
    tokens = packed.labels.clamp(min=0)
    assert packed.are_right(tokens) == [[True, True], [True]]
    last = (packed.labels[0] != IGNORED_LABEL).nonzero()[-1]
    tokens[0, last] += 1
    assert packed.are_right(tokens) == [[True, False], [True]]
