"""Footage that is handed on: what is in it, and what a verification finds out."""

import json
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from zipfile import ZipFile

import av
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.cli.main import main
from app.schemas.evidence import EvidenceManifest
from app.services.camera_evidence import (
    evidence_span,
    export_evidence,
    pack_evidence,
)
from app.services.context import ServiceContext
from app.services.evidence_check import check_evidence
from app.services.recorder import segment_name
from app.services.signing import public_pem
from app.services.wall_clock import ClockChange, change_clock
from engine.errors import InputRefusedError, NotFoundError
from engine.files import sha256_of
from engine.media.fragments import read_layout
from engine.media.recording import FeedRecorder, RecordedBytes
from engine.records import TimeSpan, VideoId
from storage.camera_records import CameraRow, SegmentRow
from storage.files import HomeFolder
from tests.support.synthetic import encoded_video, read_index

N, FPS, GOP = 120, 10, 10
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("feed") / "feed.ts"
    return encoded_video(path, N, fps=FPS, gop_frames=GOP, noise=False, options={"bf": "0"})


def record(context: ServiceContext, name: str, feed: Path, *starts_at: datetime) -> CameraRow:
    """A camera with parts of twelve seconds, each in files of three."""
    camera = context.catalog.cameras.add(name=name, address="rtsp://10.0.0.7/live")
    home = HomeFolder(context.settings.home)
    for start_at in starts_at:
        row = context.catalog.videos.add(
            name=f"{name} {start_at}", uri=camera.address, camera=camera.id
        )
        pieces: dict[int, tuple[float, bytes]] = {}

        def emit(piece: RecordedBytes, pieces: dict[int, tuple[float, bytes]] = pieces) -> None:
            before = pieces.get(piece.ordinal, (piece.start_s, b""))[1]
            pieces[piece.ordinal] = (piece.start_s, before + piece.data)

        with av.open(feed) as source:
            stream = source.streams.video[0]
            recorder = FeedRecorder(stream, emit, segment_s=3.0)
            origin: int | None = None
            for packet in source.demux(stream):
                if packet.pts is not None:
                    origin = packet.pts if origin is None else origin
                    recorder.take(packet, origin=origin, begins_part=False)
            recorder.close()
        for start_s, data in pieces.values():
            begins_at = start_at + timedelta(seconds=start_s)
            path = home.recording(camera.id, segment_name(begins_at, row.id, start_s))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            context.catalog.segments.put(
                SegmentRow(
                    camera=camera.id,
                    name=path.name,
                    video=VideoId(row.id),
                    start_at=begins_at,
                    start_s=start_s,
                    end_s=start_s + read_layout(path).length_s,
                    n_bytes=len(data),
                    is_open=False,
                )
            )
    return camera


def indices(path: Path) -> list[int]:
    with av.open(path) as file:
        return [read_index(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]


def seconds(moment: str) -> float:
    return (datetime.fromisoformat(moment) - NOON).total_seconds()


def test_span_over_cameras_is_clips_with_their_clocks_gaps_and_hashes(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON, NOON + timedelta(seconds=30))
    yard = record(context, "../Yard", feed, NOON + timedelta(seconds=1))
    out = tmp_path / "out"
    end_at = NOON + timedelta(seconds=34)
    export_evidence(context, [gate, yard], NOON + timedelta(seconds=4), end_at, out)
    manifest = EvidenceManifest.model_validate_json((out / "manifest.json").read_bytes())
    first, second = manifest.cameras
    assert (first.name, second.name) == ("Gate", "../Yard")
    assert [clip.clock for clip in first.clips] == ["live", "live"]
    spans = [(seconds(clip.start_at), seconds(clip.end_at)) for clip in first.clips]
    named = [clip.file.rpartition("/")[2] for clip in first.clips]
    assert named == [
        f"{NOON + timedelta(seconds=after_s):%Y%m%dT%H%M%SZ}.mp4" for after_s in (4, 30)
    ]
    # From the keyframe before.
    assert 3.0 < spans[0][0] <= 4.0
    assert spans[0][1] == pytest.approx(12.0, abs=0.1)
    assert spans[1] == (30.0, pytest.approx(34.0, abs=0.1))
    assert [(seconds(gap.start_at), seconds(gap.end_at)) for gap in first.gaps] == [
        (pytest.approx(12.0, abs=0.1), 30.0)
    ]
    assert [(seconds(gap.start_at), seconds(gap.end_at)) for gap in second.gaps] == [
        (pytest.approx(13.0, abs=0.1), 34.0)
    ]
    assert indices(out / first.clips[0].file) == [*range(round(spans[0][0] * FPS), N)]
    for clip in (*first.clips, *second.clips):
        assert clip.is_copied
        assert sha256_of(out / clip.file) == clip.sha256
        assert (out / clip.file).resolve().is_relative_to(out.resolve())
    assert first.clips[0].seen_by is not None
    checked = check_evidence(out, HomeFolder(context.settings.home))
    assert (checked.clips, checked.is_key_known) == (3, True)
    assert "signed by this library" in checked.message


def test_marked_part_of_a_video_is_a_span_of_its_camera(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    record(context, "Gate", feed, NOON)
    (row,) = context.catalog.videos.list()
    row = change_clock(context, row, ClockChange(start_at=NOON))
    marked = TimeSpan(start_s=4.0, end_s=6.0)
    span = evidence_span(context, row, marked)
    assert (span.camera.name, span.start_at) == ("Gate", NOON + timedelta(seconds=4))
    export_evidence(context, [span.camera], span.start_at, span.end_at, tmp_path / "out")
    assert check_evidence(tmp_path / "out", HomeFolder(context.settings.home)).clips == 1
    with pytest.raises(InputRefusedError, match="2 s, the limit is 1 s"):
        evidence_span(context, row, marked, most_s=1.0)
    with pytest.raises(InputRefusedError, match="nothing of Gate is recorded then"):
        evidence_span(context, row, TimeSpan(start_s=60.0, end_s=66.0))
    other = context.catalog.videos.add(name="drawn", uri="/nowhere/drawn.mp4")
    with pytest.raises(InputRefusedError, match="drawn is no recording of a camera"):
        evidence_span(context, other, marked)


def test_archive_holds_what_the_folder_does(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    archive, out = tmp_path / "out.zip", tmp_path / "out"
    end_at = NOON + timedelta(seconds=3)
    pack_evidence(context, [gate], NOON, end_at, archive)
    with ZipFile(archive) as packed:
        packed.extractall(out)
    assert check_evidence(out, HomeFolder(context.settings.home)).clips == 1
    assert {path.name for path in tmp_path.iterdir()} == {"home", "out", "out.zip"}
    with pytest.raises(InputRefusedError, match="the limit is 2 s"):
        pack_evidence(context, [gate], NOON, end_at, archive, most_s=2.0)


def test_key_is_made_once_for_its_owner_alone(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    keys = set()
    for name in ("first", "second"):
        export_evidence(context, [gate], NOON, NOON + timedelta(seconds=3), tmp_path / name)
        keys.add((tmp_path / name / "public-key.pem").read_bytes())
    home = HomeFolder(context.settings.home)
    assert keys == {home.public_key.read_bytes()}
    assert stat.S_IMODE(home.signing_key.stat().st_mode) == 0o600
    assert not any(b"PRIVATE" in path.read_bytes() for path in (tmp_path / "first").glob("*.*"))


def test_openssl_verifies_the_signature(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    export_evidence(context, [gate], NOON, NOON + timedelta(seconds=3), tmp_path / "out")
    command = "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json "
    done = subprocess.run(
        [*command.split(), "-sigfile", "manifest.sig"], cwd=tmp_path / "out", capture_output=True
    )
    assert done.returncode == 0, done.stderr


def change_clip(folder: Path) -> None:
    path = next(folder.rglob("*.mp4"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def link_clip(folder: Path) -> None:
    path = next(folder.rglob("*.mp4"))
    path.rename(folder.parent / "elsewhere.mp4")
    path.symlink_to(folder.parent / "elsewhere.mp4")


def change_time(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("T12:00:0", "T13:00:0"))


def sign_anew(folder: Path) -> None:
    key = Ed25519PrivateKey.generate()
    (folder / "manifest.sig").write_bytes(key.sign((folder / "manifest.json").read_bytes()))
    (folder / "public-key.pem").write_bytes(public_pem(key.public_key()))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "clip changed": (change_clip, "was changed"),
    "clip gone": (lambda folder: next(folder.rglob("*.mp4")).unlink(), "is missing"),
    "clip elsewhere": (link_clip, "is missing"),
    "clip added": (lambda folder: (folder / "more.mp4").touch() or None, "more.mp4 was added"),
    "time changed": (change_time, "was changed, or not signed by"),
    "signature cut": (
        lambda folder: (folder / "manifest.sig").write_bytes(b"x" * 12) and None,
        "was changed, or not signed by",
    ),
    "key is none": (
        lambda folder: (folder / "public-key.pem").write_bytes(b"x") and None,
        "holds no public key",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_was_changed_is_found(
    context: ServiceContext, feed: Path, tmp_path: Path, change: str
) -> None:
    gate = record(context, "Gate", feed, NOON)
    out = tmp_path / "out"
    export_evidence(context, [gate], NOON, NOON + timedelta(seconds=3), out)
    alter, sentence = CHANGES[change]
    alter(out)
    with pytest.raises(InputRefusedError, match=sentence):
        check_evidence(out, HomeFolder(context.settings.home))


def test_list_that_leads_out_of_its_folder_is_not_followed(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    out = tmp_path / "out"
    export_evidence(context, [gate], NOON, NOON + timedelta(seconds=3), out)
    manifest = json.loads((out / "manifest.json").read_text())
    (tmp_path / "secret").write_text("secret")
    clip = manifest["cameras"][0]["clips"][0]
    clip |= {"file": "../secret", "bytes": 6, "sha256": sha256_of(tmp_path / "secret")}
    (out / "manifest.json").write_text(json.dumps(manifest))
    sign_anew(out)
    with pytest.raises(InputRefusedError, match=r"\.\./secret is missing"):
        check_evidence(out, HomeFolder(context.settings.home))


def test_other_key_is_not_taken_for_the_one_that_is_known(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    out, forged = tmp_path / "out", tmp_path / "forged"
    export_evidence(context, [gate], NOON, NOON + timedelta(seconds=3), out)
    copytree(out, forged)
    sign_anew(forged)
    home = HomeFolder(context.settings.home)
    checked = check_evidence(forged, home)
    assert not checked.is_key_known
    assert "which nobody here knows" in checked.message
    with pytest.raises(InputRefusedError, match="not signed by this key"):
        check_evidence(forged, home, home.public_key)
    elsewhere = HomeFolder(tmp_path / "elsewhere")
    assert not check_evidence(out, elsewhere).is_key_known
    assert check_evidence(out, elsewhere, home.public_key).is_key_known


def test_nothing_is_left_where_nothing_is_recorded(
    context: ServiceContext, feed: Path, tmp_path: Path
) -> None:
    gate = record(context, "Gate", feed, NOON)
    later = NOON + timedelta(hours=1)
    before = {*tmp_path.iterdir()}
    with pytest.raises(NotFoundError, match="nothing of Gate is recorded then"):
        export_evidence(context, [gate], later, later + timedelta(seconds=3), tmp_path / "out")
    with pytest.raises(InputRefusedError, match="ends before it starts"):
        export_evidence(context, [gate], later, NOON, tmp_path / "out")
    assert {*tmp_path.iterdir()} == before
    with pytest.raises(NotFoundError, match="holds no export"):
        check_evidence(tmp_path, HomeFolder(context.settings.home))


def test_commands_export_and_verify_in_local_time(
    context: ServiceContext, feed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = record(context, "Gate", feed, NOON)
    context.catalog.cameras.change(gate.id, timezone="Europe/Berlin")
    home, out = ["--home", str(context.settings.home)], str(tmp_path / "out")
    span = ["--start", "2026-03-01T13:00:02", "--end", "2026-03-01T13:00:05"]
    assert main(["cameras", "evidence", out, "--camera", "gate", *span, *home]) == 0
    assert "out holds 1 clip, signed by the key" in capsys.readouterr().out.replace("\n", " ")
    assert main(["cameras", "verify", out, *home]) == 0
    assert "signed by this library" in capsys.readouterr().out.replace("\n", " ")
    change_clip(Path(out))
    assert main(["cameras", "verify", out, *home]) == 5
    assert "is not what was signed" in capsys.readouterr().err.replace("\n", " ")
