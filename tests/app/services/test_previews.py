"""Playback copies: the picture with its sound, whatever the original's sound is like."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from app.services.context import ServiceContext
from app.services.previews import enqueue_preview
from app.services.stills import browser_plays, proxy_file
from app.worker.foreground import ingest_now
from app.worker.handlers import open_worker
from engine.records import VideoId
from tests.support.site import open_library
from tests.support.synthetic import clapped_video, claps, encoded_video

LIPS_S = 0.05
"""How far picture and sound may be apart: people notice more than this."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceContext]:
    """A library of its own, over the tiny model."""
    opened = open_library(tmp_path_factory.mktemp("previews"))
    yield opened
    opened.close()


def copy_of(service: ServiceContext, clip: Path) -> Path:
    """Ingest a clip that browsers do not play; the copy that the worker makes of it."""
    row = service.catalog.videos.get(VideoId(ingest_now(service, [str(clip)]).videos[0].video_id))
    assert not browser_plays(row.media)
    job = enqueue_preview(service, row)
    assert job is not None
    open_worker(service).run(until_idle=True)
    done = service.catalog.jobs.get(job.id)
    assert done.state == "done", done.failure
    return proxy_file(service.settings.home, row.id)


def n_tracks(path: Path) -> int:
    """Sound tracks of a file."""
    with av.open(path) as container:
        return len(container.streams.audio)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mp3.mkv", {}),
        ("late_picture.mkv", {"picture_from_s": 0.72, "audio_codec": "libopus", "rate_hz": 48_000}),
        ("late_sound.mkv", {"sound_from_s": 1.3, "audio_codec": "flac"}),
        ("early_sound.avi", {"audio_codec": "pcm_s16le"}),
        ("stream.ts", {"video_codec": "libx264", "audio_codec": "aac", "picture_from_s": 0.4}),
        ("two_tracks.mkv", {"n_tracks": 2}),
    ],
)
def test_lips_are_in_sync(service: ServiceContext, tmp_path: Path, name: str, shape: dict) -> None:
    copy = copy_of(service, clapped_video(tmp_path / name, 7, **shape))
    assert n_tracks(copy) == 1
    seen, heard = claps(copy)
    assert seen == pytest.approx([2, 4, 6], abs=0.04)
    assert heard == pytest.approx(seen, abs=LIPS_S)


def test_silent_film_stays_silent(service: ServiceContext, tmp_path: Path) -> None:
    copy = copy_of(service, encoded_video(tmp_path / "silent.mkv", 50, codec="mpeg4"))
    assert n_tracks(copy) == 0


def test_broken_sound_costs_only_what_is_broken(service: ServiceContext, tmp_path: Path) -> None:
    whole = clapped_video(tmp_path / "whole.mkv", 7)
    broken = tmp_path / "broken.mkv"
    generator = np.random.default_rng(0)
    with av.open(whole) as container, av.open(broken, "w") as out:
        to = {s.index: out.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio" and 1.5 < float(packet.pts * packet.time_base) < 3:
                noise = av.Packet(generator.bytes(packet.size))
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                noise.stream = to[packet.stream.index]
                out.mux(noise)
                continue
            packet.stream = to[packet.stream.index]
            out.mux(packet)
    seen, heard = claps(copy_of(service, broken))
    assert seen == pytest.approx([2, 4, 6], abs=0.04)
    assert heard[-2:] == pytest.approx([4, 6], abs=LIPS_S)


def test_sound_that_cannot_be_read_at_all_is_left_out(
    service: ServiceContext, tmp_path: Path
) -> None:
    # A codec that is not on the list of those that are opened.
    clip = clapped_video(tmp_path / "odd.mkv", 3, audio_codec="wavpack")
    assert n_tracks(copy_of(service, clip)) == 0
