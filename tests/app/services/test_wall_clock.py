"""Wall clocks: read with their origin, continued from file to file, corrected without reading."""

import json
import shutil
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest

from app.cli.main import main
from app.errors import ERROR_RULES
from app.services.access import find_video
from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.library import change_video, list_videos
from app.services.scope import keep_hours, resolve_scope
from app.services.search import search
from app.services.wall_clock import ClockChange, user_clock
from app.worker.foreground import ingest_now
from engine.errors import InputRefusedError, NotFoundError
from storage.records import VideoRow
from tests.app.services.conftest import open_library
from tests.support.noise import write_clip

NOT_FOUND = ERROR_RULES[NotFoundError].exit_code
REFUSED = ERROR_RULES[InputRefusedError].exit_code
START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def write_dav(path: Path, recorded_at: datetime) -> Path:
    """Write noise as a recorder of Dahua's make exports it."""
    plain = write_clip(path.with_suffix(".mp4"))
    data = bytearray()
    with av.open(str(plain)) as source:
        stream = source.streams.video[0]
        to_annex_b = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [
            packet
            for demuxed in source.demux(stream)
            if demuxed.size
            for packet in to_annex_b.filter(demuxed)
        ]
    for index, packet in enumerate(packets):
        at = recorded_at + timedelta(seconds=index // 4)
        date = at.second | at.minute << 6 | at.hour << 12 | at.day << 17
        date |= at.month << 22 | (at.year - 2000) << 26
        extra = bytes([0x81, 0, 2, 4, 0x82, 0, 0, 0]) + struct.pack("<HH", 64, 48)
        total = 24 + len(extra) + packet.size + 8
        kind = 0xFD if packet.is_keyframe else 0xFC
        head = b"DHAV" + bytes([kind, 0, 0, 0]) + struct.pack("<III", index, total, date)
        head += struct.pack("<H", 250 * index % 65536) + bytes([len(extra), 0])
        head = head[:23] + bytes([sum(head[:23]) & 255])
        data += head + extra + bytes(packet) + b"dhav" + struct.pack("<I", total)
    path.write_bytes(data)
    plain.unlink()
    return path


def clock_of(row: VideoRow) -> tuple[datetime | None, str | None]:
    return row.start_at, row.start_source


@pytest.fixture
def utc(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    """A library whose recorders' clocks go by UTC, wherever this test runs."""
    opened = open_library(tmp_path / "home", checkpoint, media__timezone="UTC")
    yield opened
    opened.close()


def test_clock_is_read_from_a_tag(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gate.mp4", creation_time="2024-01-02T03:04:05.000000Z")
    assert clock_of(add_source(utc, str(clip))) == (START, "container")


def test_clock_is_read_from_the_date_of_matroska(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gate.mkv", creation_time="2024-01-02T03:04:05.000000Z")
    assert clock_of(add_source(utc, str(clip))) == (START, "container")


def test_file_name_goes_before_a_tag(utc: ServiceContext, tmp_path: Path) -> None:
    clip = tmp_path / "NVR_ch1_main_20240102030405_20240102030413.mp4"
    row = add_source(utc, str(write_clip(clip, creation_time="2025-05-05T05:05:05Z")))
    assert clock_of(row) == (START, "file_name")


def test_header_of_a_recorder_goes_before_the_file_name(
    utc: ServiceContext, tmp_path: Path
) -> None:
    clip = write_dav(tmp_path / "20250505_050505.dav", START.replace(tzinfo=None))
    assert clock_of(add_source(utc, str(clip))) == (START, "recorder")


def test_word_of_a_user_goes_before_all(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "20250505_050505.mp4", creation_time="2025-05-05T05:05:05Z")
    clock = user_clock(utc.settings, START, None)
    assert clock_of(add_source(utc, str(clip), clock=clock)) == (START, "user")


@pytest.mark.parametrize("value", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_zero_of_an_epoch_is_no_clock(utc: ServiceContext, tmp_path: Path, value: str) -> None:
    add_source(utc, str(write_clip(tmp_path / "gate.mp4", creation_time=value)))
    (video,) = list_videos(utc).videos
    assert (video.start_at, video.start_source) == (None, "none")


def test_patterns_for_names_are_a_setting(tmp_path: Path, checkpoint: Path) -> None:
    settings = {"media__file_name_clocks": ["%d.%m.%Y %Hh%Mm%S"], "media__timezone": "UTC"}
    context = open_library(tmp_path / "home", checkpoint, **settings)
    names = ["hof 02.01.2024 03h04m05", "20240102_030405"]
    clips = [write_clip(tmp_path / f"{name}.mp4", seed=index) for index, name in enumerate(names)]
    assert [clock_of(add_source(context, str(clip))) for clip in clips] == [
        (START, "file_name"),
        (None, None),
    ]
    context.close()


def test_start_of_a_folder_goes_on_from_file_to_file(utc: ServiceContext, tmp_path: Path) -> None:
    for index, name in enumerate(["1.mp4", "2.mp4", "10.mp4"]):
        write_clip(tmp_path / "day" / name, seed=index)
    ingest_now(utc, [str(tmp_path / "day")], start_at=START)
    starts = {row.name: row.start_at for row in utc.catalog.videos.list()}
    assert starts == {
        "1": START,
        "2": START + timedelta(seconds=8),
        "10": START + timedelta(seconds=16),
    }
    second = START + timedelta(seconds=9)
    scope = resolve_scope(utc, after=second, before=second + timedelta(seconds=3))
    hits = search(utc, "anything", scope).hits
    assert {hit.video for hit in hits} == {"2"}


def test_copy_of_a_file_takes_no_time_in_a_folder(utc: ServiceContext, tmp_path: Path) -> None:
    for seed, name in enumerate(["1.mp4", "2.mp4"]):
        write_clip(tmp_path / "day" / name, seed=seed)
    shutil.copy(tmp_path / "day" / "1.mp4", tmp_path / "day" / "1b.mp4")
    document = ingest_now(utc, [str(tmp_path / "day")], start_at=START)
    assert [clock_of(row) for row in utc.catalog.videos.list()] == [
        (START, "user"),
        (START + timedelta(seconds=8), "user"),
    ]
    assert len(document.videos) == 2
    assert any("1b.mp4 holds the same as 1" in line for line in document.skipped)


def test_file_with_a_clock_of_its_own_keeps_it_in_a_folder(
    utc: ServiceContext, tmp_path: Path
) -> None:
    for index, name in enumerate(["a", "b_20240305_060708", "c"]):
        write_clip(tmp_path / "day" / f"{name}.mp4", seed=index)
    document = ingest_now(utc, [str(tmp_path / "day")], start_at=START)
    own = datetime(2024, 3, 5, 6, 7, 8, tzinfo=UTC)
    assert [clock_of(row) for row in utc.catalog.videos.list()] == [
        (START, "user"),
        (own, "file_name"),
        (own + timedelta(seconds=8), "user"),
    ]
    assert document.videos[1].warnings == [
        "keeps its own clock (file name): it begins at 2024-03-05 06:07:08"
    ]


def test_file_behind_one_that_cannot_be_read_gets_no_clock(
    utc: ServiceContext, tmp_path: Path
) -> None:
    write_clip(tmp_path / "day" / "1.mp4")
    (tmp_path / "day" / "2.mp4").write_bytes(bytes(4096))
    write_clip(tmp_path / "day" / "3.mp4", seed=1)
    document = ingest_now(utc, [str(tmp_path / "day")], start_at=START)
    assert find_video(utc, "3").start_at is None
    assert "no wall clock: the file before it was not read" in document.videos[1].warnings[0]


def test_ingesting_again_with_a_start_sets_it(utc: ServiceContext, tmp_path: Path) -> None:
    clip = str(write_clip(tmp_path / "gate.mp4"))
    first = ingest_now(utc, [clip]).videos[0]
    again = ingest_now(utc, [clip], start_at=START).videos[0]
    assert again.video_id == first.video_id
    assert again.wall_s == first.wall_s, "it was read again"
    assert again.start_at == "2024-01-02T03:04:05.000+00:00"


def test_ingesting_again_with_a_zone_corrects_the_digits(
    utc: ServiceContext, tmp_path: Path
) -> None:
    clip = str(write_clip(tmp_path / "20240702_030405.mp4"))
    add_source(utc, clip)
    row = add_source(utc, clip, timezone="Europe/Berlin")
    assert row.start_at == datetime(2024, 7, 2, 1, 4, 5, tzinfo=UTC)
    # Digits that a user types are local to the zone that is given with them, or to the default.
    local = datetime(2024, 7, 2, 12)
    row = add_source(utc, clip, clock=user_clock(utc.settings, local, None))
    assert (row.start_at, row.timezone) == (local.replace(tzinfo=UTC), "UTC")


def test_tag_of_a_later_chapter_is_no_clock_of_its_own(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "GX020001.MP4", format="mp4", creation_time=START.isoformat())
    assert clock_of(add_source(utc, str(clip))) == (None, None)


def test_zone_of_a_video_says_what_the_digits_of_its_name_mean(
    utc: ServiceContext, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "20240702_030405.mp4")
    add_source(utc, str(clip), timezone="Europe/Berlin")
    (video,) = list_videos(utc).videos
    assert (video.start_at, video.timezone) == ("2024-07-02T03:04:05.000+02:00", "Europe/Berlin")
    row = find_video(utc, "20240702_030405")
    assert row.start_at == datetime(2024, 7, 2, 1, 4, 5, tzinfo=UTC)
    # The same digits of a recorder that stands elsewhere are another moment.
    change_video(utc, row, name=None, clock=ClockChange(timezone="America/New_York"))
    (video,) = list_videos(utc).videos
    assert video.start_at == "2024-07-02T03:04:05.000-04:00"


def test_moment_with_a_zone_stays_that_moment(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gate.mp4", creation_time=START.isoformat())
    row = add_source(utc, str(clip))
    changed = change_video(utc, row, name=None, clock=ClockChange(timezone="Asia/Tokyo"))
    assert changed.start_at == START
    assert list_videos(utc).videos[0].start_at == "2024-01-02T12:04:05.000+09:00"


def test_other_zone_in_the_settings_changes_no_moment(tmp_path: Path, checkpoint: Path) -> None:
    clip = write_clip(tmp_path / "20240702_030405.mp4")
    starts = []
    for zone in ("Asia/Tokyo", "UTC"):
        context = open_library(tmp_path / "home", checkpoint, media__timezone=zone)
        add_source(context, str(clip))
        starts.append(list_videos(context).videos[0].start_at)
        context.close()
    assert starts == ["2024-07-02T03:04:05.000+09:00"] * 2


def test_clock_is_corrected_without_reading(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path / "home"), "--json"]
    clip = write_clip(tmp_path / "gate.mp4")
    assert main(["ingest", str(clip), "--model", str(checkpoint), *home]) == 0
    capsys.readouterr()
    change = ["--name", "yard", "--start-at", "2024-01-02T03:04:05", "--timezone", "+01:00"]
    assert main(["videos", "set", "gate", *change, *home]) == 0
    (video,) = json.loads(capsys.readouterr().out)["videos"]
    assert (video["name"], video["start_source"]) == ("yard", "user")
    assert video["start_at"] == "2024-01-02T03:04:05.000+01:00"
    (sidecar,) = (tmp_path / "home" / "latents").glob("*/*/video.json")
    facts = json.loads(sidecar.read_text())
    assert facts["start_at"] == "2024-01-02T02:04:05+00:00"
    assert (facts["start_source"], facts["timezone"]) == ("user", "+01:00")
    assert main(["search", "a door", "--model", str(checkpoint), *home]) == 0
    hit = json.loads(capsys.readouterr().out)["hits"][0]
    assert hit["start_at"].startswith("2024-01-02T03:04:")
    assert hit["start_source"] == "user"
    assert main(["videos", "set", "yard", "--start-at", "none", "--timezone", "none", *home]) == 0
    (video,) = json.loads(capsys.readouterr().out)["videos"]
    assert (video.get("start_at"), video["start_source"]) == (None, "none")
    assert "timezone" not in video


def test_text_shows_the_wall_clock_and_its_origin(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path / "home")]
    clip = write_clip(tmp_path / "20240102_030405.mp4")
    model = ["--model", str(checkpoint)]
    assert main(["ingest", str(clip), "--timezone", "+01:00", *model, *common]) == 0
    assert "begins 2024-01-02 03:04:05 +01:00 (file name)" in capsys.readouterr().out
    for command in (["videos", "list"], ["videos", "show", "2024"], ["search", "a door", *model]):
        assert main([*command, *common]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "2024-01-02" in shown, command
        assert "(file name)" in shown, command


@pytest.mark.parametrize(
    "moment", [datetime(9999, 12, 31, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)]
)
def test_moment_at_which_nothing_was_filmed_is_refused(
    utc: ServiceContext, tmp_path: Path, moment: datetime
) -> None:
    clip = write_clip(tmp_path / "gate.mp4")
    with pytest.raises(InputRefusedError, match="nothing can have been filmed"):
        ingest_now(utc, [str(clip)], start_at=moment)
    assert utc.catalog.videos.list() == ()


def test_zone_that_there_is_not_changes_nothing(utc: ServiceContext, tmp_path: Path) -> None:
    row = add_source(utc, str(write_clip(tmp_path / "gate.mp4")))
    with pytest.raises(InputRefusedError, match="is no time zone"):
        change_video(utc, row, name="yard", clock=ClockChange(timezone="Mars"))
    assert find_video(utc, "gate") == row


def test_hours_of_the_day_are_local_to_the_video(utc: ServiceContext, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "20240702_180000.mp4")
    ingest_now(utc, [str(clip)], timezone="Europe/Berlin")
    scope = resolve_scope(utc)
    assert [span.start_s for _, span in keep_hours(utc, scope, "18:00-18:01")] == [0.0]
    with pytest.raises(NotFoundError):
        keep_hours(utc, scope, "16:00-16:01")


def test_command_line_looks_at_hours_of_the_day(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--home", str(tmp_path / "home"), "--model", str(checkpoint), "--json"]
    clip = write_clip(tmp_path / "20240702_180000.mp4")
    assert main(["ingest", str(clip), "--timezone", "Europe/Berlin", *common]) == 0
    for command in ("ask", "search"):
        words = [command, "a door", *common, "--time-of-day"]
        assert main([*words, "18:00-18:01"]) == 0
        assert main([*words, "16:00-16:01"]) == NOT_FOUND
        assert main([*words, "25:00-26:00"]) == REFUSED
    capsys.readouterr()


def test_bound_without_a_zone_is_local_to_the_video(utc: ServiceContext, tmp_path: Path) -> None:
    ingest_now(utc, [str(write_clip(tmp_path / "20240702_180000.mp4"))], timezone="Asia/Tokyo")
    ((_, span),) = resolve_scope(utc, after=datetime(2024, 7, 2, 18, 0, 4))
    assert span.start_s == 4.0


def test_night_in_which_clocks_change_is_as_long_as_it_was(
    utc: ServiceContext, tmp_path: Path
) -> None:
    ingest_now(utc, [str(write_clip(tmp_path / "20240330_235959.mp4"))], timezone="Europe/Berlin")
    (row,) = utc.catalog.videos.list()
    begins = row.start_at
    assert begins is not None
    parts = keep_hours(utc, resolve_scope(utc), "23:00-02:30")
    assert [(span.start_s, span.end_s) for _, span in parts] == [(0.0, row.ingested_s)]


def test_chapters_of_a_camera_are_one_clock_and_say_their_order(
    utc: ServiceContext, tmp_path: Path
) -> None:
    names = ["GX010001", "GX010002", "GX020001", "GX030001"]
    for index, name in enumerate(names):
        # As the camera does: the start of the recording in every chapter, local under UTC's name.
        write_clip(
            tmp_path / "card" / f"{name}.MP4",
            seed=index,
            format="mp4",
            creation_time="2024-01-02T03:04:05Z",
        )
    ingest_now(utc, [str(tmp_path / "card")], timezone="Europe/Berlin")
    videos = {video.name: video for video in list_videos(utc).videos}
    assert list(videos) == ["GX010001", "GX020001", "GX030001", "GX010002"]
    assert [
        (video.start_at, video.start_source, video.recording and video.recording.part)
        for video in videos.values()
    ] == [
        ("2024-01-02T03:04:05.000+01:00", "container", 1),
        ("2024-01-02T03:04:13.000+01:00", "chapter", 2),
        ("2024-01-02T03:04:21.000+01:00", "chapter", 3),
        ("2024-01-02T03:04:05.000+01:00", "container", None),
    ]
    first = videos["GX010001"].recording
    assert first is not None
    assert (first.name, first.parts, first.missing) == ("GX0001", 3, [])
    assert [video for video, _ in resolve_scope(utc)] == [
        video.video_id for video in videos.values()
    ]
    # A correction of the first is one of all.
    change = ClockChange(start_at=datetime(2024, 1, 2, 4, 0, 0))
    change_video(utc, find_video(utc, "GX010001"), name=None, clock=change)
    assert find_video(utc, "GX030001").start_at == datetime(2024, 1, 2, 3, 0, 16, tzinfo=UTC)


def test_chapter_behind_a_missing_one_says_so(utc: ServiceContext, tmp_path: Path) -> None:
    for index, name in enumerate(["GX010001", "GX030001"]):
        write_clip(tmp_path / f"{name}.MP4", seed=index, format="mp4")
    ingest_now(utc, [str(tmp_path)], start_at=None)
    last = list_videos(utc).videos[1]
    assert last.recording is not None
    assert (last.recording.part, last.recording.missing) == (3, [2])
    assert last.start_source == "none"


def test_segments_that_join_are_parts_and_others_are_not(
    utc: ServiceContext, tmp_path: Path
) -> None:
    names = ["cam1_20240102_030405", "cam1_20240102_030413", "cam1_20240102_040000"]
    names += ["cam2_20240102_030413"]
    for index, name in enumerate(names):
        write_clip(tmp_path / f"{name}.mp4", seed=index)
    ingest_now(utc, [str(tmp_path)])
    places = {video.name: video.recording for video in list_videos(utc).videos}
    assert {name: place and (place.name, place.part, place.parts) for name, place in places.items()
    } == {
        names[0]: (names[0], 1, 2),
        names[1]: (names[0], 2, 2),
        names[2]: None,
        names[3]: None,
    }  # fmt: skip
