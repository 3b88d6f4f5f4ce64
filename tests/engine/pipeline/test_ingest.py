"""Taking a video in: whole chunks, the same bytes however often it is killed."""

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.cache.budget import CacheConfig
from engine.cache.stills import StillStore
from engine.errors import DiskFullError, MediaDecodeError
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.pipeline.resume import resume_point, stored_chunks
from engine.records import SampleStats, Storage, TimeSpan
from tests.engine.pipeline.conftest import CAMERA, chunk_files, chunk_path
from tests.support.fakes import INFO, FakeSource, painted, story

DAY = "grey*9 red*2 blue*3 grey*5 green*4 grey*7"


def rest(engine: Engine, spelled: str) -> FakeSource:
    """The frames behind the resume point, as a reader that was opened there gives them."""
    after_s = resume_point(engine, CAMERA).after_s
    whole = story(spelled).frames
    return FakeSource([frame for frame in whole if after_s is None or frame.pts_s > after_s])


def test_chunks_are_whole_and_the_last_one_is_what_is_left(build: Callable[..., Engine]) -> None:
    chunks = list(ingest(build(), CAMERA, story(DAY)))
    assert [chunk.n_frames for chunk in chunks] == [4] * 7 + [2]
    assert [chunk.ref.ordinal for chunk in chunks] == list(range(8))
    assert chunks[-1].stats.frames_sampled == 30


def test_spans_follow_each_other_without_a_hole(build: Callable[..., Engine]) -> None:
    spans = [chunk.ref.span for chunk in ingest(build(), CAMERA, story(DAY))]
    assert [span.end_s for span in spans[:-1]] == [span.start_s for span in spans[1:]]
    assert (spans[0].start_s, spans[-1].end_s) == (0.0, 30.0)


def test_the_last_chunk_reaches_the_end_of_the_video(build: Callable[..., Engine]) -> None:
    source = story("grey*5")
    source.info = replace(INFO, duration_s=5.7)
    *_, last = ingest(build(), CAMERA, source)
    assert last.ref.span == TimeSpan(start_s=4.0, end_s=5.7)


def test_no_chunk_stands_for_a_gap_in_the_recording(build: Callable[..., Engine]) -> None:
    frames = [painted("grey", time_s) for time_s in (0.0, 1.0, 2.0, 3.0, 5000.0, 5001.0)]
    first, _ = ingest(build(), CAMERA, FakeSource(frames))
    assert first.ref.span == TimeSpan(start_s=0.0, end_s=13.0)


def test_activity_is_the_mean_change_between_frames(build: Callable[..., Engine]) -> None:
    names = ["white"] * 5 + ["grey", "white", "grey"]
    frames = [painted(name, float(n), side_px=64) for n, name in enumerate(names)]
    still, moving = ingest(build(), CAMERA, FakeSource(frames))
    assert still.activity < 0.02
    assert moving.activity == pytest.approx(120 / 255, abs=0.02)


def test_frames_of_another_size_go_through_the_towers_apart(build: Callable[..., Engine]) -> None:
    frames = [painted("red", float(n), side_px=8 if n < 2 else 16) for n in range(4)]
    (chunk,) = ingest(build(), CAMERA, FakeSource(frames))
    assert chunk.n_frames == 4


@pytest.mark.parametrize("storage", ["native", "int8"])
@pytest.mark.parametrize("max_past_latents", [8, None])
def test_left_off_at_any_chunk_it_ends_with_the_same_bytes(
    build: Callable[..., Engine], max_past_latents: int | None, storage: Storage
) -> None:
    def opened(home: str) -> Engine:
        cache = CacheConfig(storage=storage)
        return build(home=home, max_past_latents=max_past_latents, cache=cache)

    undisturbed = opened("calm")
    list(ingest(undisturbed, CAMERA, story(DAY)))
    for left_off in range(8):
        home = f"left-{left_off}"
        running = ingest(opened(home), CAMERA, story(DAY))
        for _ in range(left_off):
            next(running)
        running.close()
        engine = opened(home)
        resumed = list(ingest(engine, CAMERA, rest(engine, DAY)))
        assert chunk_files(engine) == chunk_files(undisturbed)
        assert resumed[-1].stats.frames_sampled == 30


def test_killed_twenty_times_it_ends_with_the_same_bytes(build: Callable[..., Engine]) -> None:
    spelled = " ".join([DAY] * 10)
    undisturbed = build(home="calm")
    list(ingest(undisturbed, CAMERA, story(spelled)))
    moments = random.Random(7)
    engine = build(home="killed")
    for _ in range(20):
        before = len(engine.cache.ordinals(CAMERA))
        child = os.fork()
        if child == 0:
            again = build(home="killed")
            list(ingest(again, CAMERA, rest(again, spelled)))
            os._exit(0)
        more, deadline = moments.randint(0, 2), time.monotonic() + 2
        while len(engine.cache.ordinals(CAMERA)) < before + more and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(moments.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert 10 < resume_point(engine, CAMERA).ordinal < 75
    list(ingest(engine, CAMERA, rest(engine, spelled)))
    assert chunk_files(engine) == chunk_files(undisturbed)


def test_a_full_disk_stops_it_and_more_space_lets_it_go_on(build: Callable[..., Engine]) -> None:
    undisturbed = build(home="calm")
    list(ingest(undisturbed, CAMERA, story(DAY)))
    engine = build(home="full")
    running = ingest(engine, CAMERA, story(DAY))
    next(running)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(DiskFullError):
            next(running)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert resume_point(engine, CAMERA).ordinal == 1
    list(ingest(engine, CAMERA, rest(engine, DAY)))
    assert chunk_files(engine) == chunk_files(undisturbed)


@pytest.mark.parametrize("damage", ["last", "middle"])
def test_chunks_from_a_damaged_one_on_are_made_again(
    build: Callable[..., Engine], damage: str
) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story(DAY)))
    whole = chunk_files(engine)
    if damage == "last":
        chunk_path(engine, CAMERA, 7).write_bytes(b"torn")
    else:
        chunk_path(engine, CAMERA, 3).unlink()
    assert resume_point(engine, CAMERA).ordinal == (7 if damage == "last" else 3)
    fresh = build()
    list(ingest(fresh, CAMERA, rest(fresh, DAY)))
    assert chunk_files(fresh) == whole


def test_frames_before_a_break_of_the_source_are_kept(build: Callable[..., Engine]) -> None:
    class Breaking(FakeSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise MediaDecodeError("fake", "the file ends in the middle", pts_s=5.0)

    engine = build()
    running = ingest(engine, CAMERA, Breaking(story("grey*6").frames))
    assert [next(running).n_frames, next(running).n_frames] == [4, 2]
    with pytest.raises(MediaDecodeError):
        next(running)
    assert resume_point(engine, CAMERA).after_s == 5.0


def test_rows_can_be_rebuilt_from_the_files(build: Callable[..., Engine]) -> None:
    engine = build()
    yielded = list(ingest(engine, CAMERA, story(DAY)))
    rebuilt = list(stored_chunks(engine, CAMERA))
    assert [replace(chunk, stats=SampleStats()) for chunk in yielded] == [
        replace(chunk, stats=SampleStats()) for chunk in rebuilt
    ]
    assert [chunk.stats.frames_sampled for chunk in rebuilt] == [4, 8, 12, 16, 20, 24, 28, 30]


def test_counts_of_earlier_runs_are_added(build: Callable[..., Engine]) -> None:
    earlier = SampleStats(frames_decoded=100, frames_sampled=4, gaps=2)
    *_, last = ingest(build(), CAMERA, story("grey*8"), before=earlier)
    assert last.stats == SampleStats(frames_decoded=108, frames_sampled=12, gaps=2)


def test_towers_see_small_batches_that_start_at_the_chunk(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("red*3")))
    ref = engine.index.refs()[0]
    _, vectors, pts_s = engine.cache.frame_vectors(CAMERA, ref.ordinal)
    assert vectors.shape == (3, 4)
    assert torch.equal(pts_s, torch.arange(3, dtype=torch.float64))


def test_temporary_files_of_a_killed_writer_are_no_chunks(build: Callable[..., Engine]) -> None:
    engine = build()
    list(ingest(engine, CAMERA, story("grey*4")))
    beside = chunk_path(engine, CAMERA, 1).with_name(".00000001.safetensors.4711")
    beside.write_bytes(b"half")
    assert resume_point(engine, CAMERA).ordinal == 1
    assert not beside.exists()


def test_a_chunk_ends_where_thinning_ended_a_group(build: Callable[..., Engine]) -> None:
    engine = build()
    frames = [
        replace(frame, starts_chunk=frame.pts_s in (0.0, 2.0))
        for frame in story("grey*2 red*7").frames
    ]
    chunks = list(ingest(engine, CAMERA, FakeSource(frames)))
    assert [chunk.ref.span.start_s for chunk in chunks] == [0.0, 2.0, 6.0]
    assert chunks[0].ref.span.end_s == 2.0


def test_stills_of_every_frame_lie_beside_the_latents(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    stills, source = StillStore(tmp_path / "stills"), story(DAY)
    for chunk in ingest(build(), CAMERA, source, stills=stills):
        assert chunk.ref.ordinal in stills.ordinals(CAMERA), "a chunk that counts has its stills"
    assert stills.times(CAMERA) == tuple(frame.pts_s for frame in source.frames)
    shown = stills.at(CAMERA, 9.5).pixels()[4:, 4:].mean(axis=(0, 1))
    assert np.abs(shown - (200, 30, 30)).max() < 6, "the red frame of 9 s"


@pytest.mark.parametrize("left_off", range(8))
def test_left_off_at_any_chunk_it_ends_with_the_same_stills(
    build: Callable[..., Engine], tmp_path: Path, left_off: int
) -> None:
    calm, disturbed = StillStore(tmp_path / "calm"), StillStore(tmp_path / "disturbed")
    list(ingest(build(home="calm"), CAMERA, story(DAY), stills=calm))
    running = ingest(build(home="off"), CAMERA, story(DAY), stills=disturbed)
    for _ in range(left_off):
        next(running)
    running.close()
    # A kill between the two files of a chunk leaves stills whose latents are not there.
    disturbed.put(CAMERA, left_off, calm.read(CAMERA, left_off)[:1], reading="elsewhere")
    engine = build(home="off")
    list(ingest(engine, CAMERA, rest(engine, DAY), stills=disturbed))
    for ordinal in range(8):
        content = disturbed.path(CAMERA, ordinal).read_bytes()
        assert content == calm.path(CAMERA, ordinal).read_bytes()


def test_reading_it_anew_leaves_no_still_of_the_reading_before(
    build: Callable[..., Engine], tmp_path: Path
) -> None:
    stills = StillStore(tmp_path / "stills")
    list(ingest(build(max_past_latents=8), CAMERA, story(DAY), stills=stills))
    anew = ingest(build(max_past_latents=4), CAMERA, story("red*4 blue*4"), stills=stills)
    next(anew)
    assert stills.ordinals(CAMERA) == (0,)
