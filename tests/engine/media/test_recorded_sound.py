"""Sound of a camera in its recording: in step with the picture, in files, joined and cut."""

from pathlib import Path

import av
import pytest

from engine.errors import UnreachableError
from engine.media.clip import cut
from engine.media.fragments import JoinedRecording, RecordedFile, read_layout
from engine.media.live import LiveConfig, LiveReader
from engine.media.recording import RecordedBytes
from engine.media.sample import SamplingConfig
from engine.media.source import MediaLimits
from engine.records import TimeSpan
from tests.support.camera import open_camera
from tests.support.synthetic import CLAP_EVERY_S, clapping_feed, claps

SECONDS = 15
LIMITS = MediaLimits(allow_http=True)
ALL = TimeSpan(start_s=0.0, end_s=float(SECONDS))
IN_STEP_S = 0.045
"""A picture of the 25 a second, and rounding of sound."""


def record(sent: bytes, folder: Path, *, segment_s: float = 3.0) -> tuple[list[RecordedFile], str]:
    """The files of a recording of what was sent, and the warnings about it."""
    folder.mkdir()
    starts: dict[int, float] = {}

    def keep(piece: RecordedBytes) -> None:
        starts[piece.ordinal] = piece.start_s
        with (folder / f"{piece.ordinal}.mp4").open("ab") as file:
            file.write(piece.data)

    with open_camera([sent]) as camera:
        reader = LiveReader(
            camera.address(""),
            SamplingConfig(),
            LiveConfig(segment_s=segment_s),
            limits=LIMITS,
            on_packet=lambda _: None,
            on_part=lambda _: None,
            on_recorded=keep,
        )
        with pytest.raises(UnreachableError, match="did not come back"):
            list(reader)
    files = [RecordedFile(path=folder / f"{n}.mp4", start_s=starts[n]) for n in sorted(starts)]
    return files, " ".join(reader.reader.info.warnings)


def check_step(path: Path, n_least: int, within: TimeSpan) -> None:
    seen, heard = (
        [at_s for at_s in times_s if within.contains(float(at_s))] for times_s in claps(path)
    )
    assert len(seen) >= n_least
    assert heard == pytest.approx(seen, abs=IN_STEP_S)


KINDS = [
    ("ts", "aac", 48_000),
    ("ts", "libmp3lame", 44_100),
    ("flv", "aac", 44_100),
    ("flv", "pcm_alaw", 8_000),
    ("flv", "pcm_mulaw", 8_000),
]


@pytest.mark.parametrize(("container", "audio_codec", "rate_hz"), KINDS)
def test_sound_is_recorded_in_step_with_the_picture(
    tmp_path: Path, container: str, audio_codec: str, rate_hz: int
) -> None:
    sent = clapping_feed(tmp_path / "sent", SECONDS, container, audio_codec, rate_hz)
    files, warnings = record(sent, tmp_path / "files")
    assert "sound" not in warnings
    assert len(files) > 2
    n_claps = round(SECONDS / CLAP_EVERY_S) - 1
    for file in files:
        with av.open(file.path) as opened:
            assert [stream.codec_context.name for stream in opened.streams] == ["h264", "aac"]
        # A packet of sound belongs to the file in which it begins, and reaches into the next.
        length_s = read_layout(file.path).length_s
        check_step(file.path, 0, TimeSpan(start_s=0.15, end_s=length_s))
    joined = JoinedRecording(files)
    whole = tmp_path / "joined.mp4"
    whole.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    check_step(whole, n_claps, ALL)
    clip = tmp_path / "clip.mp4"
    made = cut(str(whole), TimeSpan(start_s=5.0, end_s=11.0), clip, limits=LIMITS)
    assert not made.reencoded
    check_step(clip, 3, ALL)


def test_files_of_one_part_share_their_header_and_are_sought_by_pictures(tmp_path: Path) -> None:
    files, _ = record(clapping_feed(tmp_path / "sent", SECONDS), tmp_path / "files")
    layouts = [read_layout(file.path) for file in files]
    headers = {
        file.path.read_bytes()[: len(layout.header)]
        for file, layout in zip(files, layouts, strict=True)
    }
    assert len(headers) == 1
    for layout in layouts:
        assert {part.is_sound for part in layout.fragments} == {False, True}
        assert len(layout.fragments) < 4 * layout.length_s + 4, "about one a second of each"
    joined = JoinedRecording(files)
    whole = tmp_path / "joined.mp4"
    whole.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    with av.open(whole) as opened:
        assert opened.duration is not None
        assert opened.duration / av.time_base == pytest.approx(SECONDS, abs=0.5)
        opened.seek(9 * av.time_base)
        first = next(opened.decode(video=0))
        assert (first.time or 0.0) <= 9.1


def test_file_that_was_cut_off_anywhere_keeps_sound_up_to_there(tmp_path: Path) -> None:
    sent = clapping_feed(tmp_path / "sent", SECONDS)
    (file,), _ = record(sent, tmp_path / "files", segment_s=60.0)
    data = file.path.read_bytes()
    for share in (0.4, 0.6, 0.9):
        cut_off = tmp_path / "cut.mp4"
        cut_off.write_bytes(data[: round(share * len(data))])
        joined = JoinedRecording([RecordedFile(path=cut_off, start_s=0.0)])
        kept = tmp_path / "kept.mp4"
        kept.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
        seen, heard = claps(kept)
        both = min(len(seen), len(heard))
        assert both >= 1
        assert heard[:both] == pytest.approx(seen[:both], abs=IN_STEP_S)
