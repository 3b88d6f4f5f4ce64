"""Image-text checkpoints by the command line: other eyes for old footage, and their threshold."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from engine.sight.claims import FILE_NAME, read_claim
from tests.support.tower_checkpoint import WORDS, save_towers
from tests.support.visits import write_visits


def run(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """The document of a command that is done."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny random SigLIP checkpoint."""
    folder = tmp_path / "towers"
    folder.mkdir()
    save_towers("siglip", folder)
    monkeypatch.setenv("LONGWATCH_SIGHT__OBSERVERS", "[]")
    return f"siglip2:{folder}"


def test_another_encoder_looks_at_stills_and_needs_no_video(
    tmp_path: Path, eyes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, clip = tmp_path / "home", write_visits(tmp_path / "lobby.mp4")
    monkeypatch.setenv("LONGWATCH_SIGHT__ENCODER", '["model"]')
    run(capsys, "ingest", clip, "--home", home)
    clip.unlink()
    monkeypatch.setenv("LONGWATCH_SIGHT__ENCODER", json.dumps([eyes]))
    run(capsys, "observe", "lobby", "--home", home)
    found = run(capsys, "search", "a red dog", "--home", home)
    (encoder,) = found["encoders"]
    assert encoder["name"].startswith("siglip2:")
    assert {hit["source"] for hit in found["hits"]} == {encoder["name"]}


def test_threshold_of_a_checkpoint_is_fitted_and_used(
    tmp_path: Path, eyes: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, home = tmp_path / "footage", tmp_path / "home"
    root.mkdir()
    clips = [write_visits(root / f"{name}.mp4", length_s=12 + idx) for idx, name in enumerate("ab")]
    entries = [{"file": clip.name, "qa": []} for clip in clips]
    (root / "manifest.json").write_text(json.dumps({"clips": entries}))
    known = WORDS[4:10]
    phrases = [f"{one} {other}" for one in known for other in known]
    searches = [
        {"id": str(idx), "query": phrase, "kind": "obj", "truth": []}
        for idx, phrase in enumerate(phrases)
    ]
    searches[1]["truth"] = [{"clip": "a.mp4", "spans": []}]
    (root / "searches.json").write_text(json.dumps({"searches": searches}))
    fitted = run(capsys, "models", "claim", eyes, "--root", root, "--home", home)
    folder = tmp_path / "towers"
    assert fitted["file"] == str(folder / FILE_NAME)
    kept = read_claim(folder)
    assert kept is not None
    assert kept.claim == fitted["claim"] != fitted["before"]
    assert kept.absent_claimed == fitted["absent_claimed"]["value"]
    # The same footage with the threshold in force: as much is claimed as was stated.
    again = run(capsys, "models", "claim", eyes, "--root", root, "--home", home)
    assert again["before"] == fitted["claim"]
    assert again["claim"] == pytest.approx(fitted["claim"], abs=1e-4)
    assert again["absent_claimed"] == fitted["absent_claimed"]


def test_an_encoder_without_a_checkpoint_has_claims_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "claim", "concepts", "--root", str(tmp_path), "--home", str(tmp_path / "h")]
    assert main(words) == 5
    assert "names no checkpoint" in capsys.readouterr().err
