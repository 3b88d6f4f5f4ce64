"""Recordings of feeds: every packet once, cut at keyframes, whole wherever a file was cut off."""

from pathlib import Path

import av
import pytest

from engine.media.fragments import JoinedRecording, RecordedFile, read_layout
from engine.media.recording import FeedRecorder, RecordedBytes
from tests.support.synthetic import encoded_video, read_index

N, FPS, GOP = 120, 10, 10


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # With pictures that wait for later ones.
    path = tmp_path_factory.mktemp("feed") / "feed.ts"
    return encoded_video(path, N, fps=FPS, gop_frames=GOP, noise=False, options={"bf": "2"})


def record(feed: Path, folder: Path, *, segment_s: float) -> list[RecordedFile]:
    """The files of a recording, and where each lies on the clock of the feed."""
    folder.mkdir()
    starts: dict[int, float] = {}

    def emit(piece: RecordedBytes) -> None:
        starts[piece.ordinal] = piece.start_s
        with (folder / f"{piece.ordinal}.mp4").open("ab") as file:
            file.write(piece.data)

    with av.open(feed) as source:
        stream = source.streams.video[0]
        recorder = FeedRecorder(stream, emit, segment_s=segment_s)
        origin: int | None = None
        for packet in source.demux(stream):
            if packet.pts is not None:
                origin = packet.pts if origin is None else origin
                recorder.take(packet, origin=origin, begins_part=False)
        recorder.close()
    return [RecordedFile(path=folder / f"{n}.mp4", start_s=starts[n]) for n in sorted(starts)]


def shown(data: bytes, path: Path) -> list[tuple[float, int]]:
    path.write_bytes(data)
    with av.open(path) as file:
        frames = file.decode(video=0)
        return [
            (frame.time or 0.0, read_index(frame.to_ndarray(format="rgb24"))) for frame in frames
        ]


def test_files_hold_every_picture_once_and_join_on_one_clock(feed: Path, tmp_path: Path) -> None:
    files = record(feed, tmp_path / "files", segment_s=3.0)
    assert len(files) == 4
    joined = JoinedRecording(files)
    whole = b"".join(joined.read(0, joined.n_bytes))
    pictures = shown(whole, tmp_path / "joined.mp4")
    assert [index for _, index in pictures] == [*range(N)]
    for time_s, index in pictures:
        assert time_s - joined.shift_s == pytest.approx(index / FPS, abs=1e-3)
    # Any range is what stands there in the whole.
    for start, end in ((0, 1), (700, 900), (joined.n_bytes - 5, joined.n_bytes), (1500, 9000)):
        assert b"".join(joined.read(start, end)) == whole[start:end]


def test_source_with_one_keyframe_fills_files_that_end_and_play_joined(tmp_path: Path) -> None:
    endless = encoded_video(tmp_path / "one.ts", N, fps=FPS, gop_frames=10_000, noise=False)
    files = record(endless, tmp_path / "files", segment_s=0.4)
    assert len(files) == 3
    joined = JoinedRecording(files)
    whole = b"".join(joined.read(0, joined.n_bytes))
    assert [index for _, index in shown(whole, tmp_path / "joined.mp4")] == [*range(N)]


def test_player_seeks_by_the_index_at_the_front(feed: Path, tmp_path: Path) -> None:
    joined = JoinedRecording(record(feed, tmp_path / "files", segment_s=3.0))
    path = tmp_path / "joined.mp4"
    path.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    with av.open(path) as file:
        assert file.duration is not None
        assert file.duration / av.time_base == pytest.approx(N / FPS, abs=0.3)
        for wanted_s in (2.0, 7.0, 11.0):
            file.seek(round(wanted_s * av.time_base))
            first = next(file.decode(video=0))
            assert wanted_s - 1.1 <= (first.time or 0.0) <= wanted_s + 0.01


def test_file_that_was_cut_off_anywhere_plays_up_to_there(feed: Path, tmp_path: Path) -> None:
    (file,) = record(feed, tmp_path / "files", segment_s=60.0)
    data = file.path.read_bytes()
    layout = read_layout(file.path)
    assert layout.length_s == pytest.approx(N / FPS, abs=0.3)
    for n_bytes in range(len(layout.header), len(data), len(data) // 7):
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(data[:n_bytes])
        whole = [part for part in layout.fragments if part.offset + part.n_bytes <= n_bytes]
        assert read_layout(cut).fragments == tuple(whole)
        if whole:
            joined = JoinedRecording([RecordedFile(path=cut, start_s=file.start_s)])
            pictures = shown(b"".join(joined.read(0, joined.n_bytes)), tmp_path / "kept.mp4")
            assert [index for _, index in pictures] == [*range(len(pictures))]


@pytest.mark.parametrize("data", [b"", b"\0" * 64, b"\0\0\0\x08moov", b"ftyp" * 100])
def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no header of a recording"):
        read_layout(path)
    with pytest.raises(ValueError, match="nothing was recorded"):
        JoinedRecording([RecordedFile(path=path, start_s=0.0)])
