"""Free answers to real recordings are judged strictly, and "not found" says no."""

from pathlib import Path

import pytest

from engine.evaluation.benchmarks.recordings import questions, score
from engine.protocols import BenchmarkQuestion


@pytest.mark.parametrize(
    ("wanted", "said", "expected"),
    [
        ("No, music only", "Not found in 30 seconds of video.", 1.0),
        ("No", "No.", 1.0),
        ("No", "Yes.", 0.0),
        ("a cyclist (red top)", "I see a cyclist there.", 1.0),
        ("a cyclist (red top)", "Not found in 30 seconds of video.", 0.0),
        ("3", "13", 0.0),
    ],
)
def test_a_reply_is_judged(wanted: str, said: str, expected: float) -> None:
    asked = BenchmarkQuestion(id="1", video=Path("clip.mp4"), text="?", answer=wanted)
    assert score(said, asked) == expected


def test_the_real_recordings_are_listed(shared_data: Path) -> None:
    listed = list(questions(shared_data))
    assert len(listed) > 50
    assert all(item.video.is_file() for item in listed)
