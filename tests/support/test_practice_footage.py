"""Recordings to practise on: what their list says, and what is made of it."""

import json
from pathlib import Path

import pytest

from engine.evaluation.footage import read_questions, read_searches
from tests.support import practice_footage
from tests.support.practice_footage import SCENES, read_scenes, write_recordings

LIST = """
# a comment
lion_left gradio/media_assets/images/lion.jpg 1
= EXIT 0-0.5 0.5,0.3>0.5,0.6 0.2,0.3
? What animal is it? | a lion | 0-1
? Is there a cow? | No |
! a lion | obj |
gone nowhere/missing.jpg 1
? What is it? | nothing |
"""


def test_list_is_read() -> None:
    scene, gone = read_scenes(LIST)
    assert (scene.name, scene.duration_s) == ("lion_left", 1.0)
    (layer,) = scene.layers
    assert layer.words == "EXIT"
    assert layer.places == ((0.5, 0.3), (0.5, 0.6))
    assert scene.questions[1] == {
        "question": "Is there a cow?", "answer": "No", "start_s": None, "end_s": None
    }  # fmt: skip
    assert scene.searches == [{"query": "a lion", "kind": "obj", "spans": []}]
    assert gone.layers == []


def test_list_of_the_repository_is_whole() -> None:
    scenes = read_scenes(SCENES.read_text(encoding="utf-8"))
    assert len({scene.name for scene in scenes}) == len(scenes) > 50
    for scene in scenes:
        assert scene.questions
        for question in scene.questions:
            ends = (question["start_s"] or 0.0, question["end_s"] or 0.1)
            assert 0 <= ends[0] < ends[1] <= scene.duration_s + 1e-6


def test_recordings_are_written_with_their_truth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "scenes.txt"
    listing.write_text(LIST, encoding="utf-8")
    monkeypatch.setattr(practice_footage, "SCENES", listing)
    assert write_recordings(tmp_path / "made") == ("nowhere/missing.jpg",)
    questions = read_questions(tmp_path / "made")
    assert [question.answer for question in questions][:2] == ["a lion", "No"]
    assert questions[-1].video.name == "reel.mp4"
    (search,) = read_searches(tmp_path / "made")
    assert list(search.truth) == [tmp_path / "made" / "lion_left.mp4"]
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert [clip["file"] for clip in manifest["clips"]] == ["lion_left.mp4"]
