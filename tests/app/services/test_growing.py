"""Files that are still being written: one video that grows, and in the end as if read at once."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from app.services.context import ServiceContext
from app.services.ingest import add_source
from app.services.library import change_video
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.wall_clock import ClockChange
from app.worker.foreground import SETTLED_AFTER_S, ingest_now
from engine.errors import InputRefusedError
from engine.records import TimeSpan
from tests.app.services.conftest import open_library
from tests.support.noise import write_clip

SECONDS = 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A transport stream, which a recorder appends to."""
    path = tmp_path_factory.mktemp("recording") / "rec.ts"
    return write_clip(path, seconds=SECONDS, format="mpegts").read_bytes()


def pieces(data: bytes, n: int) -> Iterator[bytes]:
    return (data[len(data) * index // n : len(data) * (index + 1) // n] for index in range(n))


def spans_of(context: ServiceContext) -> list[TimeSpan]:
    """The chunks of the only video as questions find them."""
    context.engine.refresh()
    return [ref.span for ref in context.engine.index.refs(resolve_scope(context))]


def vectors_of(context: ServiceContext) -> torch.Tensor:
    """The frame vectors of the only video."""
    (row,) = context.catalog.videos.list()
    cache = context.engine.cache
    return torch.cat([cache.frame_vectors(row.id, n)[1] for n in cache.ordinals(row.id)])


def test_growing_file_is_one_video_as_if_read_at_once(
    tmp_path: Path, checkpoint: Path, recording: bytes
) -> None:
    growing, folder = tmp_path / "watched" / "rec.ts", str(tmp_path / "watched")
    growing.parent.mkdir()
    context, elsewhere = (open_library(tmp_path / "home", checkpoint) for _ in range(2))
    lengths = []
    for piece in pieces(recording, 3):
        with growing.open("ab") as file:
            file.write(piece)
        item = ingest_now(context, [folder], watch="again").videos[0]
        lengths.append(item.duration_s)
        assert item.status == "ready"
        # Another process, which found the chunks as they were before.
        assert spans_of(elsewhere) == spans_of(context)
    (row,) = context.catalog.videos.list()
    assert lengths == sorted({*lengths}), "it did not grow"
    assert row.duration_s == pytest.approx(SECONDS, abs=0.5)
    hit = search(context, "anything", resolve_scope(context, after=SECONDS - 6.0)).hits[0]
    assert hit.end_s > SECONDS - 6.0

    whole = open_library(tmp_path / "other", checkpoint)
    ingest_now(whole, [str(growing)])
    assert spans_of(context) == spans_of(whole)
    assert torch.equal(vectors_of(context), vectors_of(whole))
    for opened in (context, elsewhere, whole):
        opened.close()


def test_file_that_has_not_grown_is_left_alone(
    tmp_path: Path, checkpoint: Path, recording: bytes
) -> None:
    growing = tmp_path / "rec.ts"
    growing.write_bytes(recording[: len(recording) // 2])
    context = open_library(tmp_path / "home", checkpoint)
    first = ingest_now(context, [str(growing)]).videos[0]
    assert ingest_now(context, [str(growing)]).videos[0].wall_s == first.wall_s
    context.close()


def test_other_content_at_the_same_place_is_another_video(
    context: ServiceContext, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "rec.mp4", seconds=4)
    first = add_source(context, str(path))
    write_clip(path, seconds=8, seed=7)
    assert add_source(context, str(path)).id != first.id


def test_header_may_be_written_anew_when_a_recording_ends(
    context: ServiceContext, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "rec.mkv", seconds=60)
    data = bytearray(path.read_bytes())
    # As left behind while it was written: no length in the header, and the end missing.
    at = data.index(b"\x44\x89")
    open_header = data[:at] + b"\xec\x89" + data[at + 2 :]
    path.write_bytes(open_header[: len(data) * 3 // 4])
    first = add_source(context, str(path))
    assert first.content is not None
    assert first.content.size_bytes > 2 * 65536
    path.write_bytes(data)
    assert add_source(context, str(path)).id == first.id


def test_half_written_file_is_waited_for(context: ServiceContext, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    whole = write_clip(folder / "rec.mp4", seconds=4).read_bytes()
    half = folder / "rec.mp4"
    half.write_bytes(whole[: len(whole) // 2])
    document = ingest_now(context, [str(folder)], watch="first")
    assert document.failures == []
    assert document.skipped == [f"{half} is still being written; it is looked at again"]
    half.write_bytes(whole)
    assert [v.name for v in ingest_now(context, [str(folder)], watch="again").videos] == ["rec"]
    # One that nobody has written to for a while is damaged.
    half.write_bytes(whole[: len(whole) // 2])
    old = time.time() - SETTLED_AFTER_S - 1
    os.utime(half, (old, old))
    assert "rec.mp4" in ingest_now(context, [str(folder)], watch="again").failures[0].message
    with pytest.raises(InputRefusedError):
        add_source(context, str(half))


def test_empty_folder_is_watched_until_something_comes(
    context: ServiceContext, tmp_path: Path
) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    document = ingest_now(context, [str(folder)], watch="first")
    assert (document.videos, document.failures) == ([], [])
    assert document.skipped == [f"no video in {folder} yet"]
    with pytest.raises(InputRefusedError, match="no video in the folder"):
        ingest_now(context, [str(folder)])


def test_watching_does_not_undo_a_correction(context: ServiceContext, tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "rec.mp4", seconds=4))
    start = datetime(2024, 1, 2, tzinfo=UTC)
    ingest_now(context, [path], start_at=start, watch="first")
    corrected = datetime(2024, 1, 3, tzinfo=UTC)
    (row,) = context.catalog.videos.list()
    change_video(context, row, name=None, clock=ClockChange(start_at=corrected))
    ingest_now(context, [path], start_at=start, watch="again")
    assert context.catalog.videos.get(row.id).start_at == corrected
