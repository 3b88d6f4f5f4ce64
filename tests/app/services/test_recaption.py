"""`longwatch recaption`: files that players and our own training read, at several strengths."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from engine.models.pllava import model as pllava
from engine.records import TimeSpan
from engine.training.data.captions import read_captions
from engine.training.data.clips import ClipCaption
from engine.training.data.recaption import conversation, join_alike, likeness_of, wording_of
from engine.training.data.samples import read_samples
from tests.support.benchmark_copies import draw_clip


def caption(start_s: int, text: str) -> ClipCaption:
    return ClipCaption(span=TimeSpan(start_s=float(start_s), end_s=start_s + 2.0), text=text)


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    draw_clip(folder / "a.mp4", seconds=6)
    draw_clip(folder / "yard" / "b.mp4", seconds=4)
    (folder / "notes.mp4").write_text("no video at all\n" * 50)
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict[str, Any]]:
    code = main(["recaption", *(str(word) for word in words), "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_every_format_is_read_by_what_it_is_for(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, home = tmp_path / "captions", tmp_path / "home"
    words = (videos, "--output", output, "--clip-s", "2", "--dedupe", "1.1", "--home", home)
    code, document = run(capsys, *words)
    assert code == 0
    (item,) = document["alphas"]
    assert (item["alpha"], item["videos"], item["clips"]) == (None, 2, 5)
    assert [skipped["video"] for skipped in document["skipped"]] == ["notes.mp4"]
    names = ["a.mp4", "yard/b.mp4"]
    listed = read_captions([output / "captions.jsonl"], names, clip_s=2.0)
    assert not listed.bad
    for name in names:
        track = read_captions([output / f"{name}.vtt"], [name], clip_s=2.0)
        assert [clip.text for clip in track.captions[name]] == [
            clip.text for clip in listed.captions[name]
        ]
    samples = read_samples(output / "llava.json", videos)
    assert not samples.bad
    assert [sample.media for sample in samples.samples] == [(videos / name,) for name in names]
    # A second run describes nothing again and leaves the same files.
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    _, again = run(capsys, *words)
    assert again["alphas"][0]["written"] == 0
    assert {path: path.read_bytes() for path in before} == before


def test_each_strength_has_captions_of_its_own(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pllava.write_tiny(tmp_path / "pllava")
    output = tmp_path / "captions"
    words = (videos, "--output", output, "--alphas", "0,32", "--formats", "jsonl")
    code, document = run(
        capsys, *words, "--model", tmp_path / "pllava", "--home", tmp_path / "home"
    )
    assert code == 0
    assert [item["alpha"] for item in document["alphas"]] == [0, 32]
    texts = [
        (output / f"alpha-{alpha}" / "captions.jsonl").read_text(encoding="utf-8")
        for alpha in (0, 32)
    ]
    assert texts[0] != texts[1]
    assert not (output / "alpha-0" / "llava.json").exists()


def test_a_model_without_adapters_is_refused_by_name(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (videos, "--output", tmp_path / "captions", "--home", tmp_path / "home")
    code, document = run(capsys, *words, "--alphas", "4")
    assert code == 5
    assert "no adapters of free strength" in document["error"]["message"]
    code, document = run(capsys, *words, "--alphas=-1")
    assert code == 5
    assert "an alpha is 0 to 1024" in document["error"]["message"]


def test_captions_that_say_the_same_are_joined_in_time() -> None:
    clips = [
        caption(0, "A dog runs over the grass."),
        caption(2, "A dog runs over the grass"),
        caption(4, ""),
        caption(6, "A car stops."),
        caption(8, "A dog runs over the grass."),
    ]
    joined = join_alike(clips, 0.9)
    assert [(clip.span.start_s, clip.span.end_s) for clip in joined] == [(0, 4), (6, 8), (8, 10)]
    assert len(join_alike(clips, 1.1)) == 4
    assert likeness_of("a b c", "b c d") == 0.5
    sample = conversation("x.mp4", joined)
    assert sample["conversations"][1]["value"] == "A dog runs over the grass. A car stops."
    wording = wording_of([clip.text for clip in joined])
    assert (wording.captions, wording.distinct_words) == (3, 8)
    assert wording.repeated == pytest.approx(1 / 3)
