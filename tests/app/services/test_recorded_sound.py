"""Sound of a camera that is filmed: played, cut by the wall clock, handed on as evidence."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import av
import gradio
import pytest

from app.schemas.cameras import CameraFields
from app.services.camera_evidence import export_evidence
from app.services.camera_registry import add_camera
from app.services.context import ServiceContext
from app.services.footage import LibraryFootage
from app.services.observations import list_observations
from app.services.playback import export_camera_clip, play_recording
from app.services.timelines import parts_of
from app.worker.foreground import observe_now
from tests.app.services.conftest import open_library
from tests.app.services.test_filming import filmed_s, filming, wait_until
from tests.support.camera import open_camera
from tests.support.synthetic import CLAP_EVERY_S, clapping_feed, claps, encoded_video

SECONDS = 15
VOICE = Path(gradio.__file__).parent / "media_assets" / "audio" / "cate_blanch.mp3"
VOICE_FROM_S = 4
IN_STEP_S = 0.045


@pytest.fixture
def library(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path / "home", checkpoint, allow_network=True)
    yield opened
    opened.close()


def check_step(path: Path, n_claps: int) -> None:
    seen, heard = claps(path)
    assert len(seen) >= n_claps
    assert heard == pytest.approx(seen, abs=IN_STEP_S)


@pytest.mark.parametrize(
    ("container", "audio_codec", "rate_hz"), [("ts", "aac", 48_000), ("flv", "pcm_alaw", 8_000)]
)
def test_sound_of_a_camera_stays_with_its_pictures(
    library: ServiceContext, tmp_path: Path, container: str, audio_codec: str, rate_hz: int
) -> None:
    sent = clapping_feed(tmp_path / "sent", SECONDS, container, audio_codec, rate_hz)
    held = threading.Event()
    with open_camera([sent], held=held) as camera:
        gate = add_camera(library, "Gate", camera.address(""))
        with filming(library):
            wait_until(lambda: filmed_s(library, gate) >= SECONDS - 3)
        held.set()
    (part,) = parts_of(library, gate)
    assert part.media is not None
    assert part.media.has_audio
    assert part.start_at is not None
    played = tmp_path / "played.mp4"
    joined = play_recording(library, part)
    played.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    # The last second may have been on its way when filming was ended.
    check_step(played, round(SECONDS / CLAP_EVERY_S) - 2)
    # From the keyframe before, at 5, to 9 s: claps at 6 and 8.
    start_at, end_at = (part.start_at + timedelta(seconds=at) for at in (5.5, 9.0))
    clip = tmp_path / "clip.mp4"
    export_camera_clip(library, gate, start_at, end_at, clip)
    check_step(clip, 2)
    out = tmp_path / "out"
    export_evidence(library, [gate], start_at, end_at, out)
    (handed_on,) = out.glob("*/*.mp4")
    check_step(handed_on, 2)


def test_sound_that_shall_not_be_recorded_is_not(library: ServiceContext, tmp_path: Path) -> None:
    sent = clapping_feed(tmp_path / "sent", SECONDS)
    held = threading.Event()
    with open_camera([sent], held=held) as camera:
        gate = add_camera(library, "Gate", camera.address(""), CameraFields(records_sound=False))
        with filming(library):
            wait_until(lambda: filmed_s(library, gate) >= SECONDS - 3)
        held.set()
    (part,) = parts_of(library, gate)
    played = tmp_path / "played.mp4"
    joined = play_recording(library, part)
    played.write_bytes(b"".join(joined.read(0, joined.n_bytes)))
    with av.open(played) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def test_what_is_said_in_front_of_a_camera_is_heard_from_its_recording(
    tmp_path: Path, checkpoint: Path
) -> None:
    sent = spoken_feed(tmp_path / "spoken.ts")
    library = open_library(
        tmp_path / "home", checkpoint, allow_network=True, sight__observers=["speech"]
    )
    held = threading.Event()
    with open_camera([sent], held=held) as camera:
        gate = add_camera(library, "Gate", camera.address(""))
        with filming(library):
            wait_until(lambda: filmed_s(library, gate) >= SECONDS - 3)
            (part,) = parts_of(library, gate)
            with LibraryFootage(library, part) as footage:
                assert footage.sound_end_s == 0.0, "a file that grows is heard when it is complete"
        held.set()
    observe_now(library, part.name)
    rows = list_observations(library, part.name, kinds=["speech"]).observations
    said = " ".join(row.text or "" for row in rows)
    assert len(said.split()) > 10
    assert min(row.start_s for row in rows) >= VOICE_FROM_S - 0.7
    library.close()


def spoken_feed(path: Path) -> bytes:
    """What a camera sends that hears a voice from a moment on."""
    picture = encoded_video(path.with_suffix(".mkv"), SECONDS * 25, fps=25, gop_frames=25)
    with av.open(VOICE) as voice, av.open(picture) as source, av.open(path, "w") as out:
        pictures = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("aac", rate=44_100, layout="mono")
        packets = [packet for packet in source.demux() if packet.dts is not None]
        for packet in packets:
            packet.stream = pictures
        resampler = av.AudioResampler("fltp", "mono", 44_100, frame_size=1024)
        for frame in voice.decode(audio=0):
            for block in resampler.resample(frame):
                assert block.pts is not None
                block.pts += VOICE_FROM_S * 44_100
                packets += sound.encode(block)
        packets = [packet for packet in packets if packet.pts * packet.time_base < SECONDS]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path.read_bytes()
