"""Steps of ingest on threads of their own: they overlap, and nothing else changes."""

import threading
from collections.abc import Callable, Iterator

import pytest

from engine.errors import MediaDecodeError
from engine.media.frame import Frame
from engine.pipeline.engine import Engine
from engine.pipeline.ingest import ingest
from engine.protocols import Stream
from engine.tensors import FrameBatch, KvLatents, VisualTokens
from tests.engine.pipeline.conftest import CAMERA, chunk_files
from tests.support.fakes import ColourModel, FakeSource, story

DAY = "grey*9 red*2 blue*3 grey*5 green*4 grey*7"
"""Eight chunks of four frames, the last one of two."""
N_CHUNKS = 8
PATIENCE_S = 20.0
"""Long enough on any machine; only a step that never comes is waited for so long."""


class _MeetingModel(ColourModel):
    """Each step of a chunk waits until the step before it has begun with the next chunk.

    Without threads of their own the first step that waits would wait for ever.
    """

    def __init__(self) -> None:
        self.begun = {
            step: [threading.Event() for _ in range(N_CHUNKS)]
            for step in ("fit", "encode", "compress")
        }
        self._counts = dict.fromkeys(self.begun, 0)

    def _begin(self, step: str, ahead: str | None) -> None:
        ordinal = self._counts[step]
        self._counts[step] += 1
        self.begun[step][ordinal].set()
        if ahead is not None and ordinal + 1 < N_CHUNKS:
            assert self.begun[ahead][ordinal + 1].wait(PATIENCE_S), f"{step} had no {ahead} beside"

    def fit(self, frames: FrameBatch) -> FrameBatch:
        """Begin with a chunk."""
        self._begin("fit", None)
        return frames

    def encode(self, frames: FrameBatch) -> VisualTokens:
        """Wait for the next chunk's frames."""
        self._begin("encode", "fit")
        return super().encode(frames)

    def compress(self, tokens: VisualTokens, stream: Stream) -> KvLatents:
        """Wait for the next chunk's towers."""
        self._begin("compress", "encode")
        return super().compress(tokens, stream)


def test_resizing_towers_compression_and_commits_run_side_by_side(
    build: Callable[..., Engine],
) -> None:
    model = _MeetingModel()
    for ordinal, committed in enumerate(ingest(build(model), CAMERA, story(DAY), overlaps=True)):
        assert committed.ref.ordinal == ordinal
        # A commit goes on while the next chunk is compressed.
        if ordinal + 1 < N_CHUNKS:
            assert model.begun["compress"][ordinal + 1].wait(PATIENCE_S)
    assert ordinal + 1 == N_CHUNKS


def test_overlapping_steps_leave_the_same_bytes(build: Callable[..., Engine]) -> None:
    plain, beside = build(home="plain"), build(home="beside")
    list(ingest(plain, CAMERA, story(DAY), overlaps=False))
    list(ingest(beside, CAMERA, story(DAY), overlaps=True))
    assert chunk_files(beside) == chunk_files(plain)


@pytest.mark.parametrize("n_chunks", [1, 3, 7])
def test_what_was_yielded_is_on_disk_and_a_second_run_ends_alike(
    build: Callable[..., Engine], n_chunks: int
) -> None:
    whole = build(home="whole")
    list(ingest(whole, CAMERA, story(DAY), overlaps=False))
    broken = build(home="broken")
    running = ingest(broken, CAMERA, story(DAY), overlaps=True)
    for ordinal in range(n_chunks):
        assert next(running).ref.ordinal == ordinal
        assert broken.cache.ordinals(CAMERA) == tuple(range(ordinal + 1))
    running.close()
    # Chunks that were under way are not half there.
    assert broken.cache.ordinals(CAMERA) == tuple(range(n_chunks))
    again = build(home="broken")
    list(ingest(again, CAMERA, story(DAY), overlaps=True))
    assert chunk_files(again) == chunk_files(whole)


def test_frames_before_a_break_of_the_source_are_kept(build: Callable[..., Engine]) -> None:
    class Breaking(FakeSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise MediaDecodeError("fake", "the file ends in the middle", pts_s=5.0)

    engine = build()
    running = ingest(engine, CAMERA, Breaking(story("grey*6").frames), overlaps=True)
    assert [next(running).n_frames, next(running).n_frames] == [4, 2]
    with pytest.raises(MediaDecodeError):
        next(running)
