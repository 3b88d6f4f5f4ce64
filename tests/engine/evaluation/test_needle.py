"""A needle is planted where it was said, asked for, and judged fairly."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.errors import InputRefusedError
from engine.evaluation.needle import (
    Needle,
    ask,
    drawn_needles,
    encode_haystack,
    encode_needle,
    ingest_planted,
    judge,
    load_needles,
    plant,
)
from engine.pipeline.engine import Engine
from tests.engine.pipeline.conftest import CAMERA
from tests.support.fakes import COLOURS, story

RED = Needle(
    image=np.full((8, 8, 3), COLOURS["red"], dtype=np.uint8),
    question="What colour is the red flash?",
    answer="It is red.",
    aliases=("red",),
)


@pytest.mark.parametrize(("depth", "place"), [(0.0, 0), (0.5, 14), (1.0, 29)])
def test_the_needle_lies_at_its_depth(
    build: Callable[..., Engine], depth: float, place: int
) -> None:
    engine = build()
    hay = encode_haystack(engine, list(story("grey*8 white*4")))
    needle = encode_needle(engine, RED)
    tokens, planted_s = plant(hay, needle, length_frames=30, depth=depth)
    assert len(tokens.pts_s) == 30
    assert planted_s == float(place)
    nearest = (tokens.frame_vectors @ needle.frame_vectors[0]).argmax()
    assert int(nearest) == place


def test_planting_leaves_the_haystack_as_it_was(build: Callable[..., Engine]) -> None:
    engine = build()
    hay = encode_haystack(engine, list(story("grey*8")))
    before = hay.tokens.frame_vectors.clone()
    plant(hay, encode_needle(engine, RED), length_frames=8, depth=0.5)
    assert (hay.tokens.frame_vectors == before).all()


def test_a_planted_needle_is_found_with_its_moment(build: Callable[..., Engine]) -> None:
    engine = build()
    hay = encode_haystack(engine, list(story("grey*40")))
    tokens, planted_s = plant(hay, encode_needle(engine, RED), length_frames=64, depth=0.25)
    ingest_planted(engine, CAMERA, tokens)
    found = ask(engine, CAMERA, RED, planted_s, recall="top")
    assert found.is_right
    assert found.evidence_rank == 1


def test_where_no_needle_lies_no_evidence_is_right(build: Callable[..., Engine]) -> None:
    engine = build()
    hay = encode_haystack(engine, list(story("grey*40")))
    ingest_planted(engine, CAMERA, hay.tokens)
    found = ask(engine, CAMERA, RED, 12.0, recall="top")
    assert not found.is_right
    assert found.evidence_rank is None


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("A star.", "A star.", True),
        ("It is a star, I think", "star", True),
        ("A starfish.", "star", False),
        ("47.", "47.", True),
        ("", "star", False),
        ("(C) an orange suit", "C", True),
        ("C", "(C)", True),
        ("The answer is C.", "C", True),
        ("A man in a suit", "A", False),
        ("B", "C", False),
    ],
)
def test_replies_are_judged_by_words_and_by_letters(reply: str, answer: str, right: bool) -> None:
    needle = Needle(image=RED.image, question="?", answer=answer)
    assert judge(reply, needle) is right


def test_drawn_needles_ask_for_different_facts() -> None:
    questions = {needle.question for needle in drawn_needles(3)}
    assert len(questions) == 3


def listed(folder: Path, *entries: object) -> Path:
    Image.new("RGB", (6, 4), (200, 0, 0)).save(folder / "red.png")
    lines = (entry if isinstance(entry, str) else json.dumps(entry) for entry in entries)
    (folder / "needles.jsonl").write_text("\n".join(lines))
    return folder


def test_a_folder_of_needles_is_read(tmp_path: Path) -> None:
    entry = {
        "image": "red.png",
        "question": "Which colour?",
        "answer": "red",
        "aliases": ["crimson"],
    }
    (needle,) = load_needles(listed(tmp_path, entry))
    assert needle.image.shape == (4, 6, 3)
    assert needle.aliases == ("crimson",)


GOOD = {"image": "red.png", "question": "Which colour?", "answer": "red"}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not an object"),
        ({**GOOD, "image": "blue.png"}, "line 2: there is no blue.png"),
        ({**GOOD, "image": "../red.png"}, "line 2: ../red.png lies outside"),
        ({**GOOD, "image": "needles.jsonl"}, "line 2: needles.jsonl is no picture"),
        ({**GOOD, "answer": ""}, "line 2: answer is missing"),
        ({**GOOD, "aliases": "red"}, "line 2: aliases must be"),
        ({**GOOD, "alias": ["red"]}, "line 2: unknown alias"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, entry: object, complaint: str) -> None:
    with pytest.raises(InputRefusedError, match=complaint):
        load_needles(listed(tmp_path, GOOD, entry))


def test_a_folder_without_a_listing_says_what_it_wants(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match=r"no needles\.jsonl"):
        load_needles(tmp_path)
    with pytest.raises(InputRefusedError, match="lists no needle"):
        load_needles(listed(tmp_path))
