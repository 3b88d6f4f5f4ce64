"""What is learnt of a conversation, and that it is written as questions are asked."""

from pathlib import Path

import pytest

from engine.models.layers.splice import IGNORED_LABEL
from engine.models.layers.tokenizer import QWEN, Tokenizer
from engine.models.video_xl.model import write_tiny
from engine.records import Turn
from engine.training.data.chat_labels import Media, Words, chat, plain
from engine.training.data.samples import Sample

TURNS = (Turn(question="ab", answer="cd"), Turn(question="ef", answer="gh"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder)
    return Tokenizer.load(folder)


def sample(*media: str, turns: tuple[Turn, ...] = TURNS) -> Sample:
    return Sample(location="x", media=tuple(map(Path, media)), turns=turns)


def words(part: Words | Media) -> Words:
    assert isinstance(part, Words)
    return part


def test_a_conversation_is_written_as_the_product_asks_it(tokenizer: Tokenizer) -> None:
    before, media, behind = chat(sample("a.mp4"), tokenizer)
    assert list(words(before).ids) == QWEN.before_video(tokenizer)
    assert media == Media((Path("a.mp4"),))
    prompt = QWEN.after_video(tokenizer, "ef", TURNS[:1])
    assert list(words(behind).ids[: len(prompt)]) == prompt


def test_labels_are_the_answers_and_the_marks_around_every_turn(tokenizer: Tokenizer) -> None:
    before, _, behind = (part for part in chat(sample("a.mp4"), tokenizer))
    opening, (closing, line_end) = (
        tokenizer.control("<|im_start|>")[0],
        tokenizer.control("<|im_end|>\n"),
    )
    ignored = IGNORED_LABEL
    # Prefix: the system's turn, then the opening of the user's.
    learnt = [label for label in words(before).labels if label != ignored]
    assert learnt == [opening, closing, line_end, opening]
    learnt_behind = [label for label in words(behind).labels if label != ignored]
    around = [closing, line_end, opening]
    first, second = tokenizer.plain("cd"), tokenizer.plain("gh")
    assert learnt_behind == [*around, *first, *around, *around, *second, closing, line_end]
    for part in (before, behind):
        pairs = zip(words(part).ids, words(part).labels, strict=True)
        assert all(label in (token, ignored) for token, label in pairs)


def test_media_stand_where_their_marks_are(tokenizer: Tokenizer) -> None:
    marked = ((Path("a.png"), "then ", Path("b.mp4"), "?"), ("and ", Path("c.png")))
    given = Sample(location="x", media=(), turns=TURNS, marked=marked)
    parts = chat(given, tokenizer)
    assert [part for part in parts if isinstance(part, Media)] == [
        Media((Path(name),)) for name in ("a.png", "b.mp4", "c.png")
    ]
    between = [tokenizer.decode(list(part.ids)) for part in parts if isinstance(part, Words)]
    assert between[1] == "then "
    assert between[2].startswith("?")
    assert between[2].endswith("user\nand ")


def test_text_alone_is_one_stretch(tokenizer: Tokenizer) -> None:
    (whole,) = chat(sample(turns=TURNS[:1]), tokenizer)
    text = tokenizer.decode(list(words(whole).ids))
    assert text.endswith("user\nab\nassistant\ncd\n")


def test_a_bare_caption_is_learnt_behind_what_is_seen(tokenizer: Tokenizer) -> None:
    media, caption = plain(sample("a.png"), tokenizer)
    assert media == Media((Path("a.png"),))
    assert words(caption).ids == words(caption).labels
    assert tokenizer.decode(list(words(caption).ids)) == "cd\n"
