"""The flow over a real file: skipping, seeking and thinning leave no trace in the bytes."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.media.encode import write_video
from engine.media.sample import FrameReader, SamplingConfig
from engine.media.source import MediaLimits
from engine.pipeline.answer import answer
from engine.pipeline.engine import Engine, assemble
from engine.pipeline.ingest import ingest
from engine.pipeline.resume import resume_point
from engine.pipeline.search import search
from engine.records import Answer
from tests.engine.pipeline.conftest import CAMERA, chunk_files
from tests.support.fakes import COLOURS, ColourModel

N_SECONDS = 48


def filmed(path: Path) -> Path:
    """A wall that changes its colour now and then, at 5 frames a second."""
    names = ["grey"] * 9 + ["white"] * 3 + ["grey"] * 8 + ["red"] * 2 + ["green", "grey"] * 13
    frames = []
    for idx in range(N_SECONDS * 5):
        frame = np.full((48, 64, 3), COLOURS[names[idx // 5]], dtype=np.uint8)
        frames.append(frame)
    write_video(path, iter(frames), 5.0, gop_frames=25)
    return path


def opened(engine: Engine, path: Path) -> FrameReader:
    after_s = resume_point(engine, CAMERA).after_s
    return FrameReader(str(path), engine.sampling, limits=MediaLimits(), after_s=after_s)


@pytest.fixture
def thinning(build: Callable[..., Engine]) -> Callable[[str], Engine]:
    """Engines that leave out static frames."""

    def assembled(home: str) -> Engine:
        config = build(home=home).config
        return assemble(replace(config, sampling=SamplingConfig()), model=ColourModel())

    return assembled


def test_resumed_behind_any_chunk_of_a_thinned_file_the_bytes_are_the_same(
    thinning: Callable[[str], Engine], tmp_path: Path
) -> None:
    path = filmed(tmp_path / "wall.mp4")
    calm = thinning("calm")
    with opened(calm, path) as reader:
        chunks = list(ingest(calm, CAMERA, reader))
        assert reader.stats.frames_skipped_static > 0
    assert len(chunks) > 5
    for left_off in range(1, len(chunks)):
        engine = thinning(f"left-{left_off}")
        with opened(engine, path) as reader:
            running = ingest(engine, CAMERA, reader)
            for _ in range(left_off):
                next(running)
            running.close()
        again = thinning(f"left-{left_off}")
        with opened(again, path) as reader:
            list(ingest(again, CAMERA, reader))
        assert chunk_files(again) == chunk_files(calm)


def test_the_whole_file_is_searched_up_to_its_end(
    thinning: Callable[[str], Engine], tmp_path: Path
) -> None:
    engine = thinning("home")
    with opened(engine, filmed(tmp_path / "wall.mp4")) as reader:
        list(ingest(engine, CAMERA, reader))
    found = search(engine, "red")
    assert found.searched_s == pytest.approx(N_SECONDS, abs=0.01)
    # What changes between two frames changes anywhere there: its middle is the best guess.
    assert found.moments[0].span.start_s == pytest.approx(19.5, abs=0.01)
    assert found.moments[0].span.end_s == pytest.approx(21.5, abs=0.01)


def test_questions_are_answered_while_another_thread_ingests(
    thinning: Callable[[str], Engine], tmp_path: Path
) -> None:
    engine = thinning("home")
    path = filmed(tmp_path / "wall.mp4")
    started, failures = threading.Event(), []

    def take_in() -> None:
        try:
            with opened(engine, path) as reader:
                for _ in ingest(engine, CAMERA, reader):
                    started.set()
        except BaseException as error:  # noqa: BLE001  # Carried to the test, not swallowed.
            failures.append(error)
            started.set()

    writer = threading.Thread(target=take_in)
    writer.start()
    assert started.wait(30)
    while writer.is_alive():
        *_, said = answer(engine, "When is the wall white?")
        assert isinstance(said, Answer)
    writer.join()
    assert not failures
    refs = engine.index.refs()
    assert [ref.ordinal for ref in refs] == list(range(len(refs)))
    assert engine.index.n_vectors == sum(
        len(engine.cache.frame_vectors(CAMERA, ref.ordinal)[2]) for ref in refs
    )
