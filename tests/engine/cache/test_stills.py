"""Stills: any tool opens them, damage is noticed, and no moment shows another's picture."""

import io
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cache.stills import Still, StillConfig, StillStore, encode_still
from engine.errors import CorruptStillsError, DiskFullError, NotFoundError
from engine.records import Fingerprint, VideoId

CAMERA = VideoId("camera")
READING = Fingerprint("f00d")


def still(time_s: float) -> Still:
    """A picture whose grey says its time."""
    pixels = np.full((36, 64, 3), int(time_s * 7) % 256, dtype=np.uint8)
    encoded = encode_still(pixels, time_s, StillConfig())
    assert encoded is not None
    return encoded


def filled(root: Path, n_chunks: int = 4, *, gap_s: float = 0.0) -> StillStore:
    """Chunks of four stills a second apart; a gap after the second chunk."""
    store = StillStore(root)
    for ordinal in range(n_chunks):
        start_s = 4.0 * ordinal + (gap_s if ordinal > 1 else 0.0)
        stills = [still(start_s + index) for index in range(4)]
        store.put(CAMERA, ordinal, stills, end_s=start_s + 4, reading=READING)
    return store


def test_every_sampled_time_gives_its_own_picture_back(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for time_s in range(16):
        assert store.at(CAMERA, float(time_s)) == still(float(time_s))
    assert store.times(CAMERA) == tuple(map(float, range(16)))
    assert store.read(CAMERA, 2) == tuple(still(8.0 + index) for index in range(4))


def test_a_moment_between_two_frames_shows_the_earlier(tmp_path: Path) -> None:
    store = filled(tmp_path, gap_s=100.0)
    assert store.at(CAMERA, 5.999).pts_s == 5.0
    assert store.at(CAMERA, 60.0).pts_s == 7.0, "a gap in the recording shows what was last seen"
    assert store.at(CAMERA, -1.0).pts_s == 0.0
    assert store.at(CAMERA, 1e6).pts_s == 115.0


@pytest.mark.parametrize("missing", ["dropped", "damaged"])
def test_a_chunk_without_its_stills_never_shows_a_neighbours_picture(
    tmp_path: Path, missing: str
) -> None:
    store = filled(tmp_path)
    if missing == "dropped":
        store.drop(CAMERA, 1)
    else:
        store.path(CAMERA, 1).write_bytes(b"torn")
    for time_s in (4.0, 5.5, 7.9):
        with pytest.raises(NotFoundError):
            store.at(CAMERA, time_s)
    assert store.at(CAMERA, 3.9).pts_s == 3.0
    assert store.at(CAMERA, 8.0).pts_s == 8.0


def test_moments_before_the_oldest_kept_chunk_show_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.drop(CAMERA, 0)
    with pytest.raises(NotFoundError):
        store.at(CAMERA, 2.0)
    with pytest.raises(NotFoundError):
        store.at(VideoId("nobody"), 2.0)


def test_the_same_stills_always_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "first"), filled(tmp_path / "second")
    for ordinal in range(4):
        content = first.path(CAMERA, ordinal).read_bytes()
        assert content == second.path(CAMERA, ordinal).read_bytes()


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    path = store.path(CAMERA, 0)
    whole = path.read_bytes()
    assert store.verify(CAMERA, 0).reading == READING
    for position in range(0, len(whole), 7):
        flipped = bytes([whole[position] ^ 0x10])
        path.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        os.utime(path, ns=(position, position))
        with pytest.raises(CorruptStillsError) as failure:
            store.verify(CAMERA, 0)
        assert failure.value.path == str(path)


@pytest.mark.parametrize("kept_bytes", [0, 5, 300, -1])
def test_a_cut_file_is_corrupt(tmp_path: Path, kept_bytes: int) -> None:
    store = filled(tmp_path, 1)
    path = store.path(CAMERA, 0)
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(CorruptStillsError):
        store.verify(CAMERA, 0)


def test_a_file_under_another_chunks_name_is_corrupt(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.path(CAMERA, 1).replace(store.path(CAMERA, 2))
    with pytest.raises(CorruptStillsError, match="chunk 1 of camera"):
        store.verify(CAMERA, 2)


def test_any_tool_reads_the_file(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    path = store.path(CAMERA, 0)
    command = [sys.executable, "-m", "zipfile", "-t", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            "stills.json",
            *(f"{index:04d}_{index}.000s.jpg" for index in range(4)),
        ]
        assert Image.open(io.BytesIO(archive.read("0002_2.000s.jpg"))).size == (64, 36)
        dates = {member.date_time for member in archive.infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}, "no byte depends on when it was written"


def test_the_stills_of_another_reading_are_deleted_and_those_of_this_one_stay(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path)
    half_written = store.path(CAMERA, 9).with_name(".00000009.zip.4711.part")
    half_written.write_bytes(b"half")
    store.keep_reading(CAMERA, READING)
    assert store.ordinals(CAMERA) == (0, 1, 2, 3)
    assert not half_written.exists()
    store.keep_reading(CAMERA, Fingerprint("beef"))
    assert store.ordinals(CAMERA) == ()


def test_what_another_process_wrote_is_seen_at_once(tmp_path: Path) -> None:
    reader, writer = StillStore(tmp_path), StillStore(tmp_path)
    assert reader.ordinals(CAMERA) == ()
    for ordinal in range(3):
        writer.put(CAMERA, ordinal, [still(float(ordinal))])
        assert reader.ordinals(CAMERA) == tuple(range(ordinal + 1))
        assert reader.at(CAMERA, 9.0).pts_s == ordinal


def test_a_chunk_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    store.put(CAMERA, 0, [still(0.0), still(30.0)], end_s=60.0)
    assert store.at(CAMERA, 40.0) == still(30.0)


def test_forgetting_a_video_leaves_the_others(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.put(VideoId("other"), 0, [still(0.0)])
    store.forget(CAMERA)
    assert store.videos() == (VideoId("other"),)
    assert store.times(CAMERA) == ()


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    before = store.path(CAMERA, 0).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(DiskFullError):
            store.put(CAMERA, 0, [still(5.0)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.path(CAMERA, 0).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "kept"),
    [((720, 1280), (360, 640)), ((1280, 720), (640, 360)), ((90, 160), (90, 160))],
)
def test_stills_are_scaled_down_and_never_up(given: tuple[int, int], kept: tuple[int, int]) -> None:
    encoded = encode_still(np.zeros((*given, 3), dtype=np.uint8), 0.0, StillConfig())
    assert encoded is not None
    assert encoded.pixels().shape == (*kept, 3)


def test_a_still_looks_like_its_frame() -> None:
    pixels = np.zeros((720, 1280, 3), dtype=np.uint8)
    pixels[:, 640:] = (200, 40, 90)
    encoded = encode_still(pixels, 0.0, StillConfig())
    assert encoded is not None
    shown = encoded.pixels().astype(int)
    assert np.abs(shown[:, :300] - (0, 0, 0)).max() < 12
    assert np.abs(shown[:, 340:] - (200, 40, 90)).max() < 12


@pytest.mark.parametrize("side_px", [1280, 640, 500, 320, 160, 100])
def test_a_still_is_read_at_any_smaller_size(side_px: int) -> None:
    pixels = np.zeros((360, 640, 3), dtype=np.uint8)
    pixels[:, 320:] = (200, 40, 90)
    encoded = encode_still(pixels, 0.0, StillConfig())
    assert encoded is not None
    shown = encoded.pixels(side_px).astype(int)
    width_px = min(640, side_px)
    assert shown.shape == (round(360 * width_px / 640), width_px, 3)
    assert np.abs(shown[:, : width_px // 2 - 4]).max() < 12
    assert np.abs(shown[:, width_px // 2 + 4 :] - (200, 40, 90)).max() < 12


def test_a_moment_of_sound_alone_has_no_still() -> None:
    assert encode_still(np.zeros((0, 0, 3), dtype=np.uint8), 0.0, StillConfig()) is None
