"""Wall clocks in headers, names and tags; what is no moment is no clock."""

import struct
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePath

import pytest

from engine.media.chapters import FilePart, chapter_of, file_order
from engine.media.wall_clock import (
    NAME_PATTERNS,
    clock_of_header,
    clock_of_name,
    clock_of_tags,
    compile_pattern,
)

MOMENT = datetime(2024, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "name",
    [
        "NVR_ch1_main_20240102030405_20240102040405.mp4",
        "20240102_030405.mp4",
        "VID_20240102_030405.mp4",
        "2024-01-02_03-04-05.mkv",
        "2024-01-02T03.04.05.mp4",
        "2024-01-02 03-04-05.mkv",
        "20240102_030405_NF.mp4",
        "2024-01-02_03-04-05-front.mp4",
        "REC_2024_01_02_03_04_05_F.MP4",
        "2024_0102_030405_001.MP4",
        "RingVideo_20240102_030405.mp4",
        "Camera1_00_20240102030405.mp4",
        "20240102T030405.ts",
        "DJI_20240102030405_0001_D.MP4",
        "20240102-030405-gate.mp4",
        "2024-01-02T03:04:05.mp4",
    ],
)
def test_names_of_recorders_state_their_start(name: str) -> None:
    assert clock_of_name(name, NAME_PATTERNS) == MOMENT


@pytest.mark.parametrize(
    "name",
    [
        "20241302_030405.mp4",
        "20240230_030405.mp4",
        "20240102_250405.mp4",
        "18991231_235959.mp4",
        "99990102_030405.mp4",
        "120240102_030405.mp4",
        "20240102.mp4",
        "VID-20240102-WA0001.mp4",
        "1704164645.mp4",
        "front door.mp4",
        "123456789012345678.mp4",
        "20000101_000000.mp4",
    ],
)
def test_digits_that_are_no_moment_are_no_clock(name: str) -> None:
    assert clock_of_name(name, NAME_PATTERNS) is None


def test_pixel_phones_name_files_in_utc() -> None:
    moment = clock_of_name("PXL_20240102_030405123.mp4", NAME_PATTERNS)
    assert moment == datetime(2024, 1, 2, 3, 4, 5, 123000, tzinfo=UTC)


def test_own_pattern_is_read() -> None:
    assert clock_of_name("hof 02.01.2024 03h04m05.avi", ["%d.%m.%Y %Hh%Mm%S"]) == MOMENT


@pytest.mark.parametrize("pattern", ["%Y%m%d", "%Y%m%d%H%M%S%S", "%Y%m%d%H%M%q", "", "%"])
def test_pattern_that_states_no_moment_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="%Y %m %d %H %M %S"):
        compile_pattern(pattern)


def test_tag_with_the_zone_of_the_place_goes_first() -> None:
    tags = [
        ("creation_time", "2024-01-02T02:09:05.000000Z"),
        ("com.apple.quicktime.creationdate", "2024-01-02T03:04:05+0100"),
    ]
    zone = timezone(timedelta(hours=1))
    assert clock_of_tags(tags) == MOMENT.replace(tzinfo=zone)
    assert clock_of_tags(tags[:1]) == datetime(2024, 1, 2, 2, 9, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "1904-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.000000Z",
        "2001-01-01T00:00:00.000000Z",
        "2036-02-07T06:28:15.000000Z",
        "2024",
        "2024-01-02",
        "2024-02-30T00:00:00Z",
        "",
        "yesterday",
    ],
)
def test_zero_and_incomplete_tags_are_no_clock(value: str) -> None:
    assert clock_of_tags([("creation_time", value), ("timecode", "01:00:00:00")]) is None


@pytest.mark.parametrize("tool", ["HandBrake 1.7.2", "libebml v1.4.4 + libmatroska v1.7.1"])
def test_time_of_a_conversion_is_no_clock(tool: str) -> None:
    assert clock_of_tags([("creation_time", "2024-01-02T03:04:05Z"), ("encoder", tool)]) is None


def test_gopro_writes_local_digits_as_utc() -> None:
    tags = [("creation_time", "2024-01-02T03:04:05.000000Z")]
    assert clock_of_tags(tags, "GX010001.MP4") == MOMENT
    assert clock_of_tags([*tags, ("firmware", "HD9.01.01.70.00")]) == MOMENT


@pytest.mark.parametrize("before", [b"", b"DAHUA" + bytes(1019)])
def test_header_of_a_recorder_states_its_clock(before: bytes) -> None:
    date = 5 | 4 << 6 | 3 << 12 | 2 << 17 | 1 << 22 | 24 << 26
    head = b"DHAV" + bytes([0xFD, 0, 0, 0]) + struct.pack("<III", 0, 100, date) + bytes(8)
    assert clock_of_header(before + head) == MOMENT
    assert clock_of_header(before + head[:16] + bytes(16)) is None
    assert clock_of_header(before + head[:10]) is None


def test_chapters_are_told_by_their_names() -> None:
    assert chapter_of("GX020001.MP4") == FilePart(recording="GX0001", part=2)
    assert chapter_of("gh010042.mp4") == FilePart(recording="GH0042", part=1)
    assert chapter_of("GOPR0001.MP4") == FilePart(recording="GOPR0001", part=1)
    assert chapter_of("GP010001.MP4") == FilePart(recording="GOPR0001", part=2)
    assert chapter_of("GX000001.MP4") is None
    assert chapter_of("20240102_030405.mp4") is None


def test_files_are_sorted_as_they_were_recorded() -> None:
    names = [
        "b/rec1.mp4", "b/rec2.mp4", "b/rec10.mp4",
        "c/GOPR0001.MP4", "c/GP010001.MP4", "c/GOPR0002.MP4",
        "d/GX010001.MP4", "d/GX020001.MP4", "d/GX010002.MP4",
    ]  # fmt: skip
    shuffled = sorted(names, key=lambda name: name[::-1])
    assert sorted(map(Path, shuffled), key=file_order) == list(map(Path, names))
    assert file_order(PurePath("a/x.mp4")) < file_order(PurePath("a/y.mp4"))
