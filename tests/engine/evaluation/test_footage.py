"""Truth about recordings is read from their listings, as far as the recordings are there."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputRefusedError
from engine.evaluation.footage import list_clips, read_questions, read_searches
from engine.records import TimeSpan


def write_listing(folder: Path, *names: str, **entry: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    clips = [{"file": name, **entry} for name in names]
    (folder / "manifest.json").write_text(json.dumps({"clips": clips}))


def test_questions_of_recordings_that_are_there_are_read(tmp_path: Path) -> None:
    timed = {"question": "When?", "answer": "at 1 s", "start_s": 1, "end_s": 2, "kind": "event"}
    absent = {
        "question": "A dog?",
        "answer": "No",
        "start_s": None,
        "end_s": None,
        "kind": "absent",
    }
    write_listing(tmp_path / "more", "here.mp4", "gone.mp4", qa=[timed, absent])
    (tmp_path / "more" / "here.mp4").touch()
    first, second = read_questions(tmp_path)
    assert (first.id, first.span) == ("more/here.mp4/00", TimeSpan(start_s=1.0, end_s=2.0))
    assert (second.answer, second.span) == ("No", None)


def test_a_folder_without_questions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusedError, match="no recording with questions"):
        read_questions(tmp_path)


def test_searches_are_read_with_their_recordings(tmp_path: Path) -> None:
    write_listing(tmp_path, "a.mp4")
    write_listing(tmp_path / "more", "b.mp4")
    (tmp_path / "a.mp4").touch()
    (tmp_path / "more" / "b.mp4").touch()
    truth = [{"clip": "a.mp4", "spans": [[1, 2.5]]}, {"clip": "b.mp4", "spans": []}]
    phrases = [
        {"id": "p0", "query": "a dog", "kind": "obj", "truth": truth},
        {"id": "p1", "query": "a cat", "kind": "obj", "truth": [{"clip": "c.mp4", "spans": []}]},
        {"id": "p2", "query": "a unicorn", "kind": "obj", "truth": []},
    ]
    (tmp_path / "searches.json").write_text(json.dumps({"searches": phrases}))
    dog, unicorn = read_searches(tmp_path)
    clips = list_clips(tmp_path)
    assert dog.truth == {clips["a.mp4"]: (TimeSpan(start_s=1.0, end_s=2.5),), clips["b.mp4"]: ()}
    assert unicorn.truth == {}


def test_a_broken_listing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "searches.json").write_text("[")
    with pytest.raises(InputRefusedError, match="no JSON"):
        read_searches(tmp_path)


def test_the_real_recordings_are_listed(shared_data: Path) -> None:
    assert len(read_questions(shared_data)) > 100
    assert len(read_searches(shared_data)) > 50
