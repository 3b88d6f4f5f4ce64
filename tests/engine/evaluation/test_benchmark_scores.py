"""Every benchmark scores what was planted: right, wrong, without a choice, and not asked."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import pytest

from engine import plugins
from engine.errors import InputRefusedError, MediaRefusedError
from engine.evaluation import benchmarks
from engine.evaluation.benchmark import Benchmark, read_questions
from engine.evaluation.ingest_once import OpenedVideo
from engine.evaluation.picture_folder import PictureFolder
from engine.evaluation.runner import Result, read, run
from engine.evaluation.scoreboard import ScoreRow, tabulate
from engine.pipeline.engine import Engine
from engine.protocols import Sampling
from engine.records import Turn
from engine.tensors import ChunkLatents, Token
from tests.support.benchmark_copies import MUTE, reply_to, write_copy
from tests.support.fakes import ColourModel, story

# Right and wrong replies in the words of each benchmark; by default letters.
REPLIES = {"music_avqa": ("Yes.", "two"), "mlvu": ("B) text", "(C)"), "mvbench": ("(B) it", "A")}
# Right, wrong or unparsable, missing, and the headline score.
PLANTED = {
    "apollobench": (3, 1, 1, 1 / 3),
    "avqa": (3, 1, 1, 1 / 3),
    "egoschema": (3, 1, 1, 1 / 3),
    "longvideobench": (3, 1, 1, 1 / 3),
    # The mean of 1/3 of plot and 1 of count.
    "mlvu": (4, 1, 1, 2 / 3),
    "music_avqa": (3, 1, 1, 1 / 3),
    "mvbench": (4, 1, 1, 2 / 3),
    "nextqa": (3, 1, 1, 1 / 3),
    "perception_test": (3, 1, 1, 1 / 3),
    # Three of choice, one yes or no that is right, one caption that is wrong.
    "tempcompass": (5, 1, 1, 2 / 5),
    "vico": (3, 1, 1, 1 / 3),
    "video_mme": (3, 1, 1, 1 / 3),
    "video_mme_subtitles": (3, 1, 1, 1 / 3),
}


@dataclass(frozen=True)
class PlantedModel(ColourModel):
    """Replies what the words of a question say; without any footage it names nothing."""

    right: str = "B"
    wrong: str = "C"

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """The planted reply, in one token."""
        text = reply_to(question, self.right, self.wrong) if recalled else MUTE
        yield Token(text=text, chunk_mass=None)


class PlantedCaptions(PlantedModel):
    """Replies in the format that a question of TempCompass has."""

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """Yes, an option's label, or a letter."""
        words = ("B. it", "C")
        if "yes or no" in question:
            words = ("Yes, it is", "No")
        elif "Option 1" in question:
            words = ("Option 2", "Option 1.")
        text = reply_to(question, *words) if recalled else MUTE
        yield Token(text=text, chunk_mass=None)


class PlantedTries(PlantedModel):
    """Replies the letter of the option that VNBench rotates."""

    def generate(
        self,
        question: str,
        recalled: Sequence[ChunkLatents],
        sampling: Sampling,
        *,
        history: Sequence[Turn] = (),
    ) -> Iterator[Token]:
        """The letter before the words of the right option."""
        line = next(line for line in question.splitlines() if line.endswith("a blue wall"))
        right = line[0]
        text = reply_to(question, f"{right}. it", "ABCD"[("ABCD".index(right) + 1) % 4])
        yield Token(text=text if recalled else MUTE, chunk_mass=None)


@contextmanager
def opened(path: Path) -> Iterator[OpenedVideo]:
    """A stand-in for the sandbox: clips are drawn, so that any colours do."""
    if path.is_dir():
        yield OpenedVideo(frames=PictureFolder(path, 1.0))
        return
    yield OpenedVideo(frames=story("red green blue grey"))


def loaded(name: str) -> Benchmark:
    defines = ("CARD", "questions", "choose", "score")
    return cast(Benchmark, plugins.load(benchmarks, name, defines=defines))


def measured(
    name: str, build: Callable[..., Engine], model: ColourModel, root: Path
) -> tuple[list[Result], tuple[ScoreRow, ...]]:
    """Run a made-up copy to its end."""
    write_copy(name, root)
    benchmark = loaded(name)
    results = list(run(build(model), benchmark, root, root / "results.jsonl", opened))
    return results, tabulate(results, benchmark.CARD.mean)


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_scored(
    name: str, build: Callable[..., Engine], tmp_path: Path
) -> None:
    right, wrong = REPLIES.get(name, ("B. it", "C"))
    model = PlantedModel(right=right, wrong=wrong)
    if name == "tempcompass":
        model = PlantedCaptions()
    results, rows = measured(name, build, model, tmp_path)
    n_asked, n_unparsable, n_missing, score = PLANTED[name]
    assert sum(result.missing is not None for result in results) == n_missing
    assert rows[0].group == "all"
    assert (rows[0].n, rows[0].n_unparsable) == (n_asked, n_unparsable)
    assert rows[0].score == pytest.approx(score)
    assert rows[0].low <= rows[0].score <= rows[0].high
    # The planted model sees the footage of these two, and nothing of the third.
    assert rows[0].baselines["recent_window"] == pytest.approx(score)
    assert rows[0].baselines["one_frame"] == pytest.approx(score)
    assert rows[0].baselines["text_only"] == 0.0
    assert rows[0].chance is not None
    assert 0 < rows[0].chance <= 0.5


def test_a_sample_of_four_tries_counts_if_all_are_right(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    results, rows = measured("vnbench", build, PlantedTries(), tmp_path)
    assert sum(result.missing is not None for result in results) == 4
    by_group = {row.group: row for row in rows}
    # Of two samples of one type one has a wrong last try; the other type names nothing.
    assert (by_group["ret_edit1"].n, by_group["ret_edit1"].score) == (2, 0.5)
    assert (by_group["ord_edit1"].score, by_group["ord_edit1"].n_unparsable) == (0.0, 4)
    assert by_group["retrieval"].score == 0.5
    assert by_group["all"].score == 0.25
    assert by_group["all"].chance == pytest.approx((1 / 4) ** 4)


def test_subtitles_stand_before_the_question_and_are_not_searched_for(tmp_path: Path) -> None:
    write_copy("video_mme_subtitles", tmp_path)
    first, second, *_ = loaded("video_mme_subtitles").questions(tmp_path)
    assert "A planted line\nand another\n" in first.instructions
    assert "planted line" not in first.text
    assert "No subtitles available" in second.instructions


def test_a_video_that_appears_later_is_asked_about(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    write_copy("avqa", tmp_path)
    engine, benchmark, file = build(PlantedModel()), loaded("avqa"), tmp_path / "results.jsonl"
    list(run(engine, benchmark, tmp_path, file, opened))
    (tmp_path / "videos" / "clip_delta.mp4").touch()
    (late,) = run(engine, benchmark, tmp_path, file, opened)
    assert late.missing is None
    assert [result.missing for result in read(file)] == [None] * 4


def test_a_video_that_cannot_be_read_is_named_and_stops_nothing(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    @contextmanager
    def refused(path: Path) -> Iterator[OpenedVideo]:
        if "alpha" in path.name:
            raise MediaRefusedError(str(path), "it is no video")
        with opened(path) as video:
            yield video

    write_copy("avqa", tmp_path)
    results = list(
        run(build(PlantedModel()), loaded("avqa"), tmp_path, tmp_path / "r.jsonl", refused)
    )
    assert results[0].missing is not None
    assert "it is no video" in results[0].missing
    assert [result.missing for result in results[1:3]] == [None, None]


def test_a_question_about_a_clip_recalls_nothing_else(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    write_copy("mvbench", tmp_path)
    first, *_ = loaded("mvbench").questions(tmp_path)
    assert first.clip is not None
    assert (first.clip.start_s, first.clip.end_s) == (1.0, 3.0)


OWN = ("apollobench", "vico")
"""Made of one's own videos, which lie anywhere."""
DAMAGE: tuple[object, ...] = (
    None,
    7,
    float("nan"),
    "",
    "../../etc/passwd",
    "/etc/passwd",
    [],
    [1],
    {"a": 1},
)


def places_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a JSON value."""
    yield at
    keys: Iterable[Any] = value if isinstance(value, dict) else ()
    keys = range(len(value)) if isinstance(value, list) else keys
    for key in keys:
        yield from places_of(value[key], (*at, key))


def with_damage(value: Any, at: tuple[Any, ...], damage: object) -> Any:
    """A copy of a JSON value with another in one place."""
    if not at:
        return damage
    changed = deepcopy(value)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = damage
    return changed


@pytest.mark.parametrize("name", [*PLANTED, "vnbench"])
def test_damaged_annotations_are_read_or_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    write_copy(name, tmp_path)
    benchmark = loaded(name)
    for file in sorted(tmp_path.rglob("*.json")):
        whole = json.loads(file.read_text())
        for at, damage in product(places_of(whole), DAMAGE):
            file.write_text(json.dumps(with_damage(whole, at, damage)))
            try:
                items = read_questions(benchmark, tmp_path)
            except InputRefusedError:
                continue
            for item in items:
                assert name in OWN or item.video.is_relative_to(tmp_path)
                benchmark.score("A", item)
        file.write_text(json.dumps(whole))


def test_sample_that_lacks_a_try_is_refused(tmp_path: Path) -> None:
    write_copy("vnbench", tmp_path)
    (file,) = tmp_path.rglob("VNBench*.json")
    file.write_text(json.dumps(json.loads(file.read_text())[:-1]))
    with pytest.raises(InputRefusedError, match="lacks try 3"):
        read_questions(loaded("vnbench"), tmp_path)


def test_question_of_vico_with_more_turns_is_refused(tmp_path: Path) -> None:
    write_copy("vico", tmp_path)
    (file,) = tmp_path.rglob("vico.jsonl")
    first, *others = map(json.loads, file.read_text().splitlines())
    first["conversations"].append({"from": "human", "value": "And then?"})
    file.write_text("\n".join(map(json.dumps, (first, *others))))
    with pytest.raises(InputRefusedError, match="line 1 has 3 turns"):
        read_questions(loaded("vico"), tmp_path)
