"""VICO files: even letters, the same bytes, and answers that the drawn story confirms."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.media.encode import write_video
from engine.media.sample import FrameReader
from engine.media.source import MediaLimits
from engine.pipeline.config import EngineConfig, ModelConfig
from engine.pipeline.engine import assemble
from engine.protocols import Sampling
from engine.records import TimeSpan
from engine.synthetic import grammar
from engine.synthetic.questions import is_right
from engine.synthetic.story import Story, draw_story
from engine.training.data.clips import CLIP_S, caption_clips, sentences
from engine.training.data.samples import read_samples
from engine.training.recipes import finetune
from engine.training.vico.clues import Clue, find_clues
from engine.training.vico.samples import VicoLine, build
from engine.training.vico.templates import KINDS

NANO = Path(__file__).parents[4] / "assets" / "models" / "nano"

SEEDS = (7001, 7002, 7003)
STORY_S = 360
PER_VIDEO = 14

RIGHT = 0.7
"""Share of answers that the stories confirm to the letter. Seen: 32 of 42 of these three, one of
whose wrong captions spoils several questions, and 156 of 168 of the twelve from this seed on."""
RIGHT_IN_TIME = 0.8
"""The same where a thing may go the other way than its caption says: 38 of 42, 163 of 168."""


def clues(n_clues: int) -> list[Clue]:
    return [
        Clue(
            text=f"Person{n} opens door{n}.",
            span=TimeSpan(start_s=14.0 * n, end_s=14.0 * (n + 1)),
        )
        for n in range(n_clues)
    ]


def lines(n_videos: int, n_clues: int, n_questions: int, seed: int = 0) -> list[VicoLine]:
    videos = {f"v{n}.mp4": clues(n_clues) for n in range(n_videos)}
    return list(build(videos, questions_per_video=n_questions, seed=seed))


def test_right_letters_and_kinds_are_spread_evenly() -> None:
    drawn_lines = lines(n_videos=9, n_clues=20, n_questions=21)
    assert len(drawn_lines) == 9 * 21
    assert set(Counter(line.question.kind for line in drawn_lines).values()) == {27}
    for n_options in (2, 3, 4):
        letters = Counter(
            line.question.answer for line in drawn_lines if line.question.n_options == n_options
        )
        assert len(letters) == n_options
        assert max(letters.values()) - min(letters.values()) <= 1


def test_same_clues_and_seed_give_the_same_bytes_in_any_order() -> None:
    videos = {f"v{n}.mp4": clues(8 + n) for n in range(4)}
    backwards = dict(reversed(videos.items()))
    dumped = [
        "".join(line.dump() for line in build(given, questions_per_video=9, seed=seed))
        for given, seed in ((videos, 5), (backwards, 5), (videos, 6))
    ]
    assert dumped[0] == dumped[1] != dumped[2]


def test_few_clues_give_few_questions_and_none_twice() -> None:
    assert [line.question.kind for line in lines(1, 2, 50)] == ["which_first"]
    assert lines(1, 1, 50) == []
    drawn_lines = lines(1, 3, 200)
    pairs = [
        (line.question.kind, frozenset(clue.text for _, clue in line.question.clues))
        for line in drawn_lines
    ]
    assert len(set(pairs)) == len(pairs)
    assert {kind for kind, _ in pairs} == set(KINDS) - {"before", "after"}


@dataclass(frozen=True)
class Drawn:
    """VICO data of drawn stories, in nano's own words."""

    folder: Path
    stories: dict[str, Story]
    entries: list[dict[str, Any]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    folder = tmp_path_factory.mktemp("vico")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = EngineConfig(
        model=ModelConfig(folder=NANO),
        latents_folder=folder / "latents",
        index_folder=folder / "index",
        durable=False,
    )
    engine = assemble(config)
    stories, clues_of = {}, {}
    for seed in SEEDS:
        name = f"story{seed}.mp4"
        stories[name] = draw_story(seed, STORY_S, 1.0, height_px=180, width_px=320)
        write_video(folder / name, stories[name], 1.0)
        sampling = replace(engine.sampling, thin_static=False)
        with FrameReader(str(folder / name), sampling, limits=MediaLimits()) as reader:
            captions = caption_clips(
                engine, reader, clip_s=CLIP_S, sampling=Sampling(max_tokens=64)
            )
            clues_of[name] = find_clues(list(captions))
    drawn_lines = list(build(clues_of, questions_per_video=PER_VIDEO))
    (folder / "vico.jsonl").write_text("".join(line.dump() for line in drawn_lines))
    yield Drawn(folder, stories, [json.loads(line.dump()) for line in drawn_lines])
    torch.set_num_threads(threads)


def test_story_confirms_the_answers(drawn: Drawn) -> None:
    assert len(drawn.entries) == len(SEEDS) * PER_VIDEO
    assert share_confirmed(drawn, to_the_letter=True) >= RIGHT
    assert share_confirmed(drawn, to_the_letter=False) >= RIGHT_IN_TIME


def test_spans_of_the_clues_hold_what_they_name(drawn: Drawn) -> None:
    named = [
        seen_at(clue, drawn.stories[entry["video"]], to_the_letter=True) is not None
        for entry in drawn.entries
        for clue in entry["vico"]["clues"]
    ]
    assert sum(named) / len(named) >= RIGHT_IN_TIME


def test_file_is_read_back_and_teaches(drawn: Drawn, tmp_path: Path) -> None:
    read = read_samples(drawn.folder / "vico.jsonl", drawn.folder)
    assert not read.bad
    assert [each.turns[0].answer for each in read.samples] == [
        entry["conversations"][1]["value"] for entry in drawn.entries
    ]
    few = (drawn.folder / "vico.jsonl").read_text().splitlines()[:4]
    (tmp_path / "few.jsonl").write_text("\n".join(few))
    settings = {"model": str(NANO), "data": "few.jsonl", "media": str(drawn.folder),
                "steps": 20, "learning_rate": 1e-3, "samples_per_step": 2,
                "max_frames": 32}  # fmt: skip
    (tmp_path / "finetune.json").write_text(json.dumps(settings))
    progress = list(finetune.run(tmp_path, resume=False))
    losses = [line.loss for line in progress if line.stage == "finetune" and line.step]
    assert losses[-1] < losses[0]
    assert (tmp_path / "model" / "config.json").is_file()


def share_confirmed(drawn: Drawn, *, to_the_letter: bool) -> float:
    right = [
        is_confirmed(entry, drawn.stories[entry["video"]], to_the_letter=to_the_letter)
        for entry in drawn.entries
    ]
    return sum(right) / len(right)


def is_confirmed(entry: dict[str, Any], story: Story, *, to_the_letter: bool) -> bool:
    """Whether an answer is right by the story's own events, worked out anew from the line."""
    text, answer = (turn["value"] for turn in entry["conversations"])
    seen = [
        (seen_at(clue, story, to_the_letter=to_the_letter), clue) for clue in entry["vico"]["clues"]
    ]
    if any(time_s is None for time_s, _ in seen):
        return False
    ordered = [clue for _, clue in sorted(seen, key=lambda pair: pair[0] or 0.0)]
    kind = entry["vico"]["kind"]
    if kind == "write_order":
        return bool(answer == "\n".join(clue["text"] for clue in ordered))
    options = dict(re.findall(r"^(\(\w\)) (.*)$", text, re.MULTILINE))
    if kind == "order":
        return bool(options[answer] == ", ".join(clue["mark"] for clue in ordered))
    place = {"first": 0, "which_first": 0, "last": -1}.get(kind)
    if place is None:
        asked = next(n for n, clue in enumerate(ordered) if clue["mark"] is None)
        place = asked - 1 if kind == "before" else asked + 1
        if not 0 <= place < len(ordered):
            return False
    return bool(options[answer] == ordered[place]["text"])


def seen_at(clue: dict[str, Any], story: Story, *, to_the_letter: bool) -> float | None:
    """When the story first shows what a clue names within its span; `None` where it does not."""
    span = TimeSpan(start_s=clue["start_s"], end_s=clue["end_s"])
    facts = [(event.caption, event.name, event.span) for event in story.events]
    for shot in story.shots:
        told = grammar.scene_caption(shot.scene.place, shot.scene.light)
        facts.append((told, shot.scene.place, shot.span))
    times_s = []
    for text in sentences(clue["text"]):
        shown = [
            at.start_s
            for caption, name, at in facts
            if at.overlap_s(span) and (caption == text if to_the_letter else is_right(text, name))
        ]
        if not shown:
            return None
        times_s.append(min(shown))
    return min(times_s)
