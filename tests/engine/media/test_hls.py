"""HLS: one clock over all segments, from the address checked alone, live and as a whole video."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from engine.errors import FeedRefusedError, MediaRefusedError, UnreachableError
from engine.media.address import resolve_host
from engine.media.fetch import Fetcher
from engine.media.frame import Frame
from engine.media.live import LiveConfig, LiveReader
from engine.media.playlist import MediaPlaylist, PlaylistError, parse_playlist
from engine.media.recording import RecordedBytes
from engine.media.sample import FrameReader, SamplingConfig, probe
from engine.media.source import MediaLimits
from tests.support.camera import NAME, QUOTED_PASSWORD, Scheme
from tests.support.hls_server import Answer, LiveWindow, open_hls_server, playlist, segments
from tests.support.synthetic import clapping_feed, claps, encoded_video, read_index

N, FPS = 100, 10
EVERY = SamplingConfig(fps=1000.0, thin_static=False)
LIMITS = MediaLimits(allow_http=True, reconnect_attempts=0, open_timeout_s=2.0, read_timeout_s=3.0)
Kind = str


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hls") / "video.mp4"
    # With pictures that wait for later ones.
    options = {"bf": "2", "sc_threshold": "0"}
    return encoded_video(path, N, fps=FPS, gop_frames=FPS, noise=False, options=options)


def read(address: str, *, limits: MediaLimits = LIMITS, n: int | None = None) -> list[Frame]:
    frames = []
    with FrameReader(address, EVERY, limits=limits) as reader:
        for frame in reader:
            frames.append(frame)
            if len(frames) == n:
                break
    return frames


def check_clock(frames: list[Frame]) -> list[int]:
    """Hold the time of every frame against the number that it shows; return the numbers."""
    indices = [read_index(frame.pixels) for frame in frames]
    for frame, index in zip(frames, indices, strict=True):
        assert frame.pts_s == pytest.approx((index - indices[0]) / FPS, abs=2e-3)
    return indices


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_playlist_that_has_ended_is_a_finished_video(
    video: Path, tmp_path: Path, kind: Kind
) -> None:
    pieces, header = segments(video, tmp_path / "cut", kind=kind)  # type: ignore[arg-type]
    assert len(pieces) == N / FPS
    names = {f"{n}.seg": piece.length_s for n, piece in enumerate(pieces)}
    files = {f"{n}.seg": piece.data for n, piece in enumerate(pieces)}
    files |= {"init.mp4": header} if header else {}
    listed = playlist(names, header="init.mp4" if header else None)
    with open_hls_server({"live.m3u8": listed, **files}) as server:
        # A segment that breaks off is fetched again.
        server.fails["3.seg"] = 2
        info = probe(server.address(), LIMITS)
        assert not info.is_live
        assert info.duration_s == pytest.approx(N / FPS, abs=0.15)
        assert check_clock(read(server.address())) == [*range(N)]


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_clock_goes_on_where_the_playlist_says_that_it_was_set(
    video: Path, tmp_path: Path, kind: Kind
) -> None:
    pieces, header = segments(video, tmp_path / "cut", kind=kind)  # type: ignore[arg-type]
    # Whole seconds are left out, so that stamps step ahead by what could be a pause, and back.
    order = [0, 1, 5, 6, 2, 3]
    names = {f"{n}.seg": pieces[n].length_s for n in order}
    files = {f"{n}.seg": pieces[n].data for n in order}
    files |= {"init.mp4": header} if header else {}
    listed = playlist(names, set_before=("5.seg", "2.seg"), header="init.mp4" if header else None)
    with open_hls_server({"live.m3u8": listed, **files}) as server:
        frames = read(server.address())
    assert [read_index(frame.pixels) for frame in frames] == [
        n * FPS + place for n in order for place in range(FPS)
    ]
    for place, frame in enumerate(frames):
        assert frame.pts_s == pytest.approx(place / FPS, abs=0.02)


def test_parts_of_one_file_are_segments_too(video: Path, tmp_path: Path) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    lines, at = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"], 0
    for piece in pieces:
        lines += [
            f"#EXTINF:{piece.length_s},",
            f"#EXT-X-BYTERANGE:{len(piece.data)}@{at}",
            "all.ts",
        ]
        at += len(piece.data)
    listed = "\n".join([*lines, "#EXT-X-ENDLIST"]).encode()
    whole = b"".join(piece.data for piece in pieces)
    with open_hls_server({"live.m3u8": listed, "all.ts": whole}) as server:
        assert check_clock(read(server.address())) == [*range(N)]


def test_largest_of_several_playlists_is_read(video: Path, tmp_path: Path) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    offers = (
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9000,RESOLUTION=80x48\nsmall/x.m3u8\n"
        b'#EXT-X-STREAM-INF:BANDWIDTH=8000,CODECS="avc1.4d,mp4a",RESOLUTION=160x96\nbig/x.m3u8\n'
    )
    files = {f"big/{n}.ts": piece.data for n, piece in enumerate(pieces)}
    listed = playlist({f"{n}.ts": piece.length_s for n, piece in enumerate(pieces)})
    with open_hls_server({"live.m3u8": offers, "big/x.m3u8": listed, **files}) as server:
        assert len(read(server.address())) == N
        assert "small/x.m3u8" not in server.requests


@pytest.mark.parametrize(
    "named",
    [
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://0.0.0.0:{port}/0.ts",
        "http://user@127.0.0.1:{port}/0.ts",
        "ftp://127.0.0.1:{port}/0.ts",
        "concat:0.ts|1.ts",
        "data:video/mp2t;base64,R0A=",
        "tcp://127.0.0.1:{port}",
    ],
)
def test_nothing_else_is_opened_for_a_playlist(video: Path, tmp_path: Path, named: str) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    with open_hls_server({"0.ts": pieces[0].data}) as server:
        named = named.format(port=server.port)
        for listed in (
            playlist({named: 1.0}),
            playlist({"0.ts": 1.0}, header=named),
            f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{named}\n".encode(),
            b'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="%s"\n#EXTINF:1,\n0.ts\n' % named.encode(),
        ):
            server.files["live.m3u8"] = listed
            with pytest.raises(MediaRefusedError, match=r"names another|is not opened"):
                probe(server.address(), LIMITS)
        assert set(server.requests) <= {"live.m3u8", "0.ts"}


@pytest.mark.parametrize(
    ("playlist_at", "segments_at", "is_opened"),
    [
        ("http://93.184.216.34/live.m3u8", "https://1.1.1.1/0.ts", True),
        ("http://93.184.216.34/live.m3u8", "http://192.168.1.1/0.ts", False),
        ("http://93.184.216.34/live.m3u8", "http://[::ffff:10.0.0.1]/0.ts", False),
        ("http://192.168.1.2/live.m3u8", "http://192.168.1.3:81/0.ts", True),
        ("http://192.168.1.2/live.m3u8", "http://1.1.1.1/0.ts", True),
        ("http://192.168.1.2/live.m3u8", "http://127.0.0.1/0.ts", False),
        ("https://192.168.1.2/live.m3u8", "http://192.168.1.2/0.ts", False),
    ],
)
def test_playlist_leads_no_nearer_to_this_machine(
    playlist_at: str, segments_at: str, is_opened: bool
) -> None:
    parts = urlsplit(playlist_at)
    address = resolve_host(parts.hostname or "", playlist_at)
    fetcher = Fetcher(parts, address, playlist_at, (1.0, 1.0))
    if is_opened:
        assert fetcher.resolved(playlist_at, segments_at) == segments_at
    else:
        with pytest.raises(MediaRefusedError, match="names another address"):
            fetcher.resolved(playlist_at, segments_at)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_segments_may_lie_at_another_host_which_learns_no_password(
    video: Path, tmp_path: Path, scheme: Scheme
) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    files = {f"{n}.ts": piece.data for n, piece in enumerate(pieces)}
    with open_hls_server(files) as store, open_hls_server({}, scheme) as server:
        away = f"http://localhost:{store.port}"
        server.files["live.m3u8"] = playlist(
            {f"{away}/{n}.ts": piece.length_s for n, piece in enumerate(pieces)}
        )
        assert check_clock(read(server.signed_in)) == [*range(N)]
        assert set(store.sign_ins) == {""}
        server.files["live.m3u8"] = playlist({f"{away}/locked.ts": 1.0})
        store.locks.add("locked.ts")
        with pytest.raises(FeedRefusedError):
            probe(server.signed_in, LIMITS)
        assert set(store.sign_ins) == {""}


def encrypted(data: bytes, key: bytes, iv: bytes) -> bytes:
    padder = PKCS7(128).padder()
    cipher = Cipher(algorithms.AES128(key), modes.CBC(iv)).encryptor()
    return cipher.update(padder.update(data) + padder.finalize()) + cipher.finalize()


@pytest.mark.parametrize("kind", ["mpegts", "fmp4"])
def test_segments_that_are_encrypted_are_deciphered(
    video: Path, tmp_path: Path, kind: Kind
) -> None:
    pieces, header = segments(video, tmp_path / "cut", kind=kind)  # type: ignore[arg-type]
    keys, iv = [b"the first key is", b"and this follows"], bytes(range(16))
    first = 7
    files: dict[str, Answer] = {"key/0": keys[0], "key/1": keys[1]}
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    lines.append(f'#EXT-X-KEY:METHOD=AES-128,URI="key/0",IV=0x{iv.hex()}')
    if header:
        files["init.mp4"] = encrypted(header, keys[0], iv)
        lines.append('#EXT-X-MAP:URI="init.mp4"')
    for n, piece in enumerate(pieces):
        # The second key goes by the numbers of segments, and the last of them is plain.
        data = encrypted(piece.data, keys[0], iv)
        if n >= 5:
            data = encrypted(piece.data, keys[1], (first + n).to_bytes(16, "big"))
        if n == 5:
            lines.append('#EXT-X-KEY:METHOD=AES-128,URI="key/1"')
        if n == len(pieces) - 1:
            data = piece.data
            lines.append("#EXT-X-KEY:METHOD=NONE")
        files[f"{n}.seg"] = data
        lines += [f"#EXTINF:{piece.length_s},", f"{n}.seg"]
    files["live.m3u8"] = "\n".join([*lines, "#EXT-X-ENDLIST"]).encode()
    with open_hls_server(files) as server:
        assert check_clock(read(server.address())) == [*range(N)]
        assert server.requests.count("key/0") == 1
        for wrong in (b"another key, as ", b"short", b"one byte too long"):
            server.files["key/0"] = wrong
            with pytest.raises(MediaRefusedError, match=r"do not fit the key|too large"):
                probe(server.address(), LIMITS)


def test_segments_are_no_way_to_another_format(tmp_path: Path) -> None:
    for data in (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\n", b""):
        files = {"live.m3u8": playlist({"0.ts": 1.0}), "0.ts": data}
        with (
            open_hls_server(files) as server,
            pytest.raises((MediaRefusedError, UnreachableError)),
        ):
            probe(server.address(), LIMITS)


@pytest.mark.parametrize(
    "key",
    [
        'METHOD=SAMPLE-AES,URI="key"',
        'METHOD=AES-128,KEYFORMAT="com.apple.streamingkeydelivery",URI="key"',
        'METHOD=AES-128,URI="key",IV=0x',
        "",
    ],
)
def test_playlist_that_is_encrypted_in_another_way_is_refused(key: str) -> None:
    listed = f"#EXTM3U\n#EXT-X-KEY:{key}\n#EXTINF:1,\n0.ts\n".encode()
    with open_hls_server({"live.m3u8": listed}) as server:
        with pytest.raises(MediaRefusedError, match="it is encrypted"):
            probe(server.address(), LIMITS)
        assert server.requests == ["live.m3u8"]


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_every_request_is_signed_in_and_nothing_shows_it(
    video: Path, tmp_path: Path, scheme: Scheme
) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    files = {f"{n}.ts": piece.data for n, piece in enumerate(pieces)}
    listed = playlist({f"{n}.ts": piece.length_s for n, piece in enumerate(pieces)})
    with open_hls_server({"live.m3u8": listed, **files}, scheme) as server:
        with FrameReader(server.signed_in, EVERY, limits=LIMITS) as reader:
            assert len(list(reader)) == N
            assert NAME not in reader.info.uri
        for sign_in, phrase in ((f"{NAME}:no@", "refuses this name"), ("", "wants a name")):
            with pytest.raises(FeedRefusedError, match=phrase) as caught:
                probe(server.address(sign_in=sign_in), LIMITS)
            assert QUOTED_PASSWORD not in str(caught.value)
            assert f"{NAME}:" not in str(caught.value)


def live(video: Path, tmp_path: Path, **choices: object) -> LiveWindow:
    pieces, _ = segments(video, tmp_path / "cut")
    return LiveWindow(pieces, began_at=time.time() - 2.0, **choices)  # type: ignore[arg-type]


def test_live_playlist_is_read_from_its_newest_segment_to_its_end(
    video: Path, tmp_path: Path
) -> None:
    window = live(video, tmp_path, ends=True)
    with open_hls_server(window.files()) as server:
        assert probe(server.address(), LIMITS).is_live
        indices = check_clock(read(server.address()))
    assert indices == [*range(indices[0], N)]
    assert 0 < indices[0] < N / 2


def test_segments_that_were_missed_are_a_gap_and_move_no_time(video: Path, tmp_path: Path) -> None:
    window = live(video, tmp_path, ends=True, n_kept=2)
    with open_hls_server(window.files()) as server:
        frames = []
        with FrameReader(server.address(), EVERY, limits=LIMITS) as reader:
            for frame in reader:
                frames.append(frame)
                if len(frames) == 5:
                    # Whoever is slow finds that the window has moved on.
                    time.sleep(4)
    indices = check_clock(frames)
    assert indices == sorted(indices)
    assert indices[-1] == N - 1
    assert len(indices) < N - indices[0]


def test_clock_of_a_live_feed_goes_on_where_it_is_said_to_be_set(
    video: Path, tmp_path: Path
) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    shuffled = [pieces[n] for n in (0, 1, 2, 7, 8, 3, 4)]
    window = LiveWindow(
        shuffled, began_at=time.time() - 2.0, ends=True, set_before=("3.ts", "5.ts")
    )
    with open_hls_server(window.files()) as server:
        frames = read(server.address())
    for place, frame in enumerate(frames):
        assert frame.pts_s == pytest.approx(place / FPS, abs=0.02)
    shown = [read_index(frame.pixels) // FPS for frame in frames[::FPS]]
    assert shown == [1, 2, 7, 8, 3, 4][-len(shown) :]


def test_feed_that_stands_still_or_goes_away_is_lost(video: Path, tmp_path: Path) -> None:
    pieces, _ = segments(video, tmp_path / "cut")
    window = LiveWindow(pieces[:4], began_at=time.time() - 10)
    with (
        open_hls_server(window.files()) as server,
        pytest.raises(UnreachableError, match="did not come back"),
    ):
        read(server.address())


def test_server_that_counts_anew_is_connected_to_again(video: Path, tmp_path: Path) -> None:
    window = live(video, tmp_path)
    window.began_at -= 4
    limits = MediaLimits(allow_http=True, reconnect_attempts=3, reconnect_wait_s=0.1)
    frames: list[Frame] = []
    with (
        open_hls_server(window.files()) as server,
        FrameReader(server.address(), EVERY, limits=limits) as reader,
    ):
        for frame in reader:
            frames.append(frame)
            if len(frames) == 2:
                window.began_at = time.time() - 1.2
            if len(frames) == 25:
                break
    indices = [read_index(frame.pixels) for frame in frames]
    assert indices[:10] == [*range(50, 60)]
    assert indices[10:] == [*range(indices[10], indices[10] + 15)]
    assert indices[10] < 50, "it is read from its newest segment again"
    times = [frame.pts_s for frame in frames]
    assert times == sorted(times)


def test_sound_of_a_live_playlist_is_recorded_in_step(tmp_path: Path) -> None:
    sent = tmp_path / "sent" / "feed.ts"
    clapping_feed(sent.parent, 12)
    pieces, _ = segments(sent, tmp_path / "cut")
    # The second half comes first, with the clock set between them.
    window = LiveWindow(
        pieces[6:] + pieces[:6], began_at=time.time() - 1.5, ends=True, set_before=("6.ts",)
    )
    recorded = tmp_path / "recorded.mp4"

    def keep(piece: RecordedBytes) -> None:
        with recorded.open("ab") as file:
            file.write(piece.data)

    with open_hls_server(window.files()) as server:
        reader = LiveReader(
            server.address(),
            SamplingConfig(),
            LiveConfig(),
            limits=LIMITS,
            on_packet=lambda _: None,
            on_part=lambda _: None,
            on_recorded=keep,
        )
        list(reader)
    # Sound is listened to once there is a picture.
    seen, heard = ([at_s for at_s in times_s if at_s > 0.5] for times_s in claps(recorded))
    assert len(seen) >= 4
    assert heard == pytest.approx(seen, abs=0.05)


@pytest.mark.parametrize("text", ["", "hello", "\0" * 9, "<html>", "[playlist]"])
def test_what_is_no_playlist_is_said_to_be_none(text: str) -> None:
    with pytest.raises(PlaylistError, match="no playlist"):
        parse_playlist(text)


def test_numbers_that_make_no_sense_do_no_harm() -> None:
    text = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1e999\n#EXT-X-MEDIA-SEQUENCE:-5\n"
        "#EXTINF:nan,\na.ts\n#EXTINF:-7,\nb.ts\n#EXT-X-BYTERANGE:x@y\n#EXTINF:,\nc.ts\n"
    )
    parsed = parse_playlist(text)
    assert isinstance(parsed, MediaPlaylist)
    assert [segment.sequence for segment in parsed.segments] == [0, 1, 2]
    assert parsed.length_s == 0
    assert 0 < parsed.target_s <= 300
