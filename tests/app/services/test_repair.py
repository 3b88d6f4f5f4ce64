"""Libraries that were broken, mended as the message says, and compared with undisturbed ones."""

import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from app.cli.main import main
from app.errors import hint_for
from app.schemas.search import FrameRef
from app.services.access import find_video
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.library import remove_video, rename_video
from app.services.repair import reindex
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.sidecar import save_sidecar
from app.services.status import check_ready, is_ready
from app.worker.foreground import ingest_now
from app.worker.handlers import open_worker
from engine.errors import CorruptLatentsError
from engine.media.encode import write_video
from engine.models.video_xl import model as video_xl
from engine.records import Fingerprint
from storage.records import VideoRow
from tests.app.services.conftest import DURATION_S, open_library

FRAMES_PER_CHUNK = 4
N_CHUNKS = DURATION_S // FRAMES_PER_CHUNK


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "yard.mp4"
    rng = np.random.default_rng(4)
    write_video(path, (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(48)), 4.0)
    return path


def files_of(context: ServiceContext, name: str) -> list[Path]:
    video = find_video(context, name)
    return sorted((context.settings.home / "latents").glob(f"*/{video.id}/*.safetensors*"))


def digests(context: ServiceContext, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in files_of(context, name)}


def rows_of(context: ServiceContext, name: str) -> tuple[int, int, float, list[tuple[int, str]]]:
    video = find_video(context, name)
    assert video.fingerprint is not None
    chunks = context.catalog.chunks.list(video.id, video.fingerprint)
    listed = [(chunk.ref.ordinal, chunk.checksum) for chunk in chunks]
    return video.n_chunks, video.latent_bytes, video.ingested_s, listed


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": truncate,
    "flipped": flip_last_bit,
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ordinals", [(2,), (0,), (1, 2), (N_CHUNKS - 1,), (0, 3)])
def test_damaged_chunks_are_read_again_and_nothing_else(
    tmp_path: Path, checkpoint: Path, clip: Path, damage: str, ordinals: tuple[int, ...]
) -> None:
    context = open_library(tmp_path, checkpoint)
    ingest_now(context, [str(clip)])
    whole, rows = digests(context, "front door"), rows_of(context, "front door")
    paths = files_of(context, "front door")
    kept = {path: path.stat().st_mtime_ns for path in paths}
    for ordinal in ordinals:
        DAMAGES[damage](paths[ordinal])
    context.close()

    context = open_library(tmp_path, checkpoint)
    message = reindex(context).message
    assert f"{N_CHUNKS - len(ordinals)} chunks indexed; front door: chunk" in message
    failure = find_video(context, "front door").failure
    assert failure is not None
    assert failure.code == "corrupt_latents"
    video = ingest_now(context, [str(clip)]).videos[0]
    assert (video.status, video.chunks) == ("ready", N_CHUNKS)
    assert digests(context, "front door") == whole
    assert rows_of(context, "front door") == rows
    untouched = [path for ordinal, path in enumerate(paths) if ordinal not in ordinals]
    assert all(path.stat().st_mtime_ns == kept[path] for path in untouched)
    assert reindex(context).message == f"{N_CHUNKS} chunks indexed"
    context.close()


@pytest.fixture
def damaged(tmp_path: Path, checkpoint: Path, clip: Path, yard: Path) -> Iterator[ServiceContext]:
    """Two videos; a chunk of the first is truncated, and the index has to be built again."""
    context = open_library(tmp_path / "home", checkpoint)
    ingest_now(context, [str(clip), str(yard)])
    truncate(files_of(context, "front door")[2])
    context.close()
    shutil.rmtree(tmp_path / "home" / "index")
    context = open_library(tmp_path / "home", checkpoint)
    yield context
    context.close()


def test_bad_chunk_stops_no_question_about_another_video(damaged: ServiceContext) -> None:
    assert ask(damaged, "What happens?", resolve_scope(damaged, ["yard"])).answer
    assert ask(damaged, "What happens?", resolve_scope(damaged)).searched_s == pytest.approx(
        DURATION_S - FRAMES_PER_CHUNK + 12, abs=0.5
    )


def test_question_goes_on_without_a_chunk_whose_bytes_were_flipped(
    context: ServiceContext, clip: Path
) -> None:
    """Latents are verified when they are recalled, long after the index was built."""
    ingest_now(context, [str(clip)])
    flip_last_bit(files_of(context, "front door")[2])
    context.engine.cache.attach(find_video(context, "front door").id, context.engine.fingerprint)
    response = ask(context, "What happens?", resolve_scope(context), recall="all")
    assert response.answer
    assert response.searched_s == pytest.approx(DURATION_S - FRAMES_PER_CHUNK)
    (item,) = response.left_out
    assert (item.video, item.start_s, item.end_s, item.reason) == ("front door", 8, 12, "damaged")
    assert ask(context, "What happens?", resolve_scope(context), recall="all").left_out == [item]


def test_denial_says_how_much_could_not_be_searched(damaged: ServiceContext) -> None:
    response = ask(damaged, "Where is the red star card?", resolve_scope(damaged, ["front door"]))
    assert "20 seconds of video" in response.answer
    assert "another 4 seconds could not be searched" in response.answer


@pytest.mark.parametrize("ordinals", [(2,), (0, 1), (N_CHUNKS - 1,), (0, N_CHUNKS - 1)])
def test_search_and_answer_name_what_reindex_set_aside_until_it_is_read_again(
    context: ServiceContext, clip: Path, yard: Path, ordinals: tuple[int, ...]
) -> None:
    ingest_now(context, [str(clip), str(yard)])
    paths = files_of(context, "front door")
    for ordinal in ordinals:
        truncate(paths[ordinal])
    hint = commands(reindex(context).message)
    scope = resolve_scope(context)
    lost_s = len(ordinals) * FRAMES_PER_CHUNK
    for response in (
        ask(context, "What happens?", scope),
        search(context, "a red star", scope),
        search(
            context,
            "",
            scope,
            like=FrameRef(video_id=find_video(context, "yard").id, time_s=1),
        ),
    ):
        assert {item.video for item in response.left_out} == {"front door"}
        spans = [item.end_s - item.start_s for item in response.left_out]
        assert sum(spans) == pytest.approx(lost_s)
        assert response.searched_s == pytest.approx(DURATION_S + 12 - lost_s)
        assert "longwatch videos reindex" in response.left_out[0].hint
    assert hint == [["ingest", str(clip)]]
    ingest_now(context, [str(clip)])
    assert ask(context, "What happens?", resolve_scope(context)).left_out == []


def test_bounds_cut_what_is_left_out(context: ServiceContext, clip: Path) -> None:
    ingest_now(context, [str(clip)])
    truncate(files_of(context, "front door")[2])
    reindex(context)
    outside = resolve_scope(context, after=0.0, before=8.0)
    assert ask(context, "What happens?", outside).left_out == []
    (item,) = ask(context, "What happens?", resolve_scope(context, after=10.0)).left_out
    assert (item.start_s, item.end_s) == (10, 12)


def test_video_without_a_whole_chunk_is_never_denied(
    context: ServiceContext, clip: Path, yard: Path
) -> None:
    ingest_now(context, [str(clip), str(yard)])
    for path in files_of(context, "front door"):
        truncate(path)
    reindex(context)
    (item,) = ask(context, "What happens?", resolve_scope(context)).left_out
    assert (item.video, item.start_s, item.end_s) == ("front door", 0, DURATION_S)
    with pytest.raises(CorruptLatentsError, match="can be used"):
        ask(context, "What happens?", resolve_scope(context, ["front door"]))


def test_video_that_another_model_has_read_is_named_as_not_searched(
    tmp_path: Path, checkpoint: Path, clip: Path, yard: Path
) -> None:
    other = tmp_path / "other"
    video_xl.write_tiny(other, seed=7)
    context = open_library(tmp_path / "home", other)
    ingest_now(context, [str(clip)])
    context.close()
    context = open_library(tmp_path / "home", checkpoint)
    ingest_now(context, [str(yard)])
    (item,) = ask(context, "What happens?", resolve_scope(context)).left_out
    assert (item.video, item.reason, item.end_s) == ("front door", "other_model", DURATION_S)
    context.close()


def test_command_line_says_what_was_left_out(
    tmp_path: Path, checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--home", str(tmp_path), "--model", str(checkpoint)]
    assert main(["ingest", str(clip), *options]) == 0
    (path,) = (tmp_path / "latents").glob("*/*/00000002.safetensors")
    flip_last_bit(path)
    (tmp_path / "longwatch.toml").write_text(f'model = "{checkpoint}"\n')
    assert main(["videos", "reindex", "--home", str(tmp_path)]) == 0
    capsys.readouterr()
    for command in (["ask", "What happens?"], ["search", "a star"]):
        assert main([*command, *options]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "not searched: front door 0:00:08.000 to 0:00:12.000, damaged" in out
        assert "`longwatch videos reindex`" in out


def test_bad_chunk_stops_no_ingest_and_not_its_own_removal(
    damaged: ServiceContext, tmp_path: Path, yard: Path
) -> None:
    again = tmp_path / "again.mp4"
    again.write_bytes(yard.read_bytes() + b"\0")
    assert ingest_now(damaged, [str(again)]).videos[0].status == "ready"
    remove_video(damaged, find_video(damaged, "front door"))
    assert [row.name for row in damaged.catalog.videos.list()] == ["yard", "again"]


def test_reindex_goes_on_with_the_videos_behind_a_damaged_one(damaged: ServiceContext) -> None:
    yard = find_video(damaged, "yard")
    assert yard.fingerprint is not None
    damaged.catalog.chunks.replace(yard.id, yard.fingerprint, ())
    reindex(damaged)
    assert find_video(damaged, "yard").n_chunks == 3


def test_reindex_says_when_the_original_is_gone(
    damaged: ServiceContext, clip: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.mp4"
    moved.write_bytes(clip.read_bytes())
    row = find_video(damaged, "front door")
    gone = damaged.catalog.videos.set_uri(row.id, str(tmp_path / "gone.mp4"))
    assert f"the original {gone.uri} is gone" in reindex(damaged).message
    assert find_video(damaged, "front door").n_chunks == N_CHUNKS - 1
    # Wherever it lies now, its content says which video it is.
    video = ingest_now(damaged, [str(moved)]).videos[0]
    assert (video.name, video.status, video.chunks) == ("front door", "ready", N_CHUNKS)


def test_hint_of_a_damaged_chunk_is_the_one_that_works(
    tmp_path: Path, checkpoint: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words between the backticks of hint and message are run as they stand."""
    options = ["--home", str(tmp_path), "--model", str(checkpoint)]
    assert main(["ingest", str(clip), *options]) == 0
    (path,) = (tmp_path / "latents").glob("*/*/00000002.safetensors")
    flip_last_bit(path)
    hint = hint_for(CorruptLatentsError(str(path), "damaged")) or ""
    context = open_library(tmp_path, checkpoint)
    context.settings.home.joinpath("longwatch.toml").write_text(f'model = "{checkpoint}"\n')
    context.close()
    assert main([*commands(hint)[0], "--home", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["videos", "show", "front door", "--json", "--home", str(tmp_path)]) == 0
    assert "damaged" in capsys.readouterr().out
    row = open_row(tmp_path, checkpoint)
    assert row.failure is not None
    assert main([*commands(row.failure.hint or "")[0], "--home", str(tmp_path)]) == 0
    assert open_row(tmp_path, checkpoint).status == "ready"
    assert main(["ask", "What happens?", "--home", str(tmp_path)]) == 0


def commands(hint: str) -> list[list[str]]:
    quoted = hint.split("`")[1::2]
    assert all(words.startswith("longwatch ") for words in quoted)
    return [shlex.split(words)[1:] for words in quoted]


def open_row(home: Path, checkpoint: Path) -> VideoRow:
    context = open_library(home, checkpoint)
    (row,) = context.catalog.videos.list()
    context.close()
    return row


def test_readiness_names_damaged_latents_and_stays_ready(damaged: ServiceContext) -> None:
    assert damaged.engine.left_out
    states = check_ready(damaged)
    assert states["latents"] == "corrupt_latents"
    assert is_ready(states)
    reindex(damaged)
    assert not damaged.engine.left_out
    assert check_ready(damaged)["latents"] == "corrupt_latents"
    ingest_now(damaged, [find_video(damaged, "front door").uri])
    assert check_ready(damaged)["latents"] == "ok"


def test_video_stays_marked_until_its_last_chunk_is_read_again(
    context: ServiceContext, clip: Path
) -> None:
    ingest_now(context, [str(clip)])
    files_of(context, "front door")[-1].unlink()
    assert "front door: chunk 6 of 6 is damaged or missing" in reindex(context).message
    assert "front door: chunk 6 of 6 is damaged or missing" in reindex(context).message
    assert find_video(context, "front door").is_damaged


def test_library_survives_the_loss_of_its_database(
    tmp_path: Path, checkpoint: Path, clip: Path, yard: Path
) -> None:
    start_at = datetime(2026, 3, 1, 22, tzinfo=UTC)
    context = open_library(tmp_path, checkpoint)
    ingest_now(context, [str(clip)], start_at=start_at)
    ingest_now(context, [str(yard)])
    rename_video(context, find_video(context, "yard"), "back yard")
    expected = context.catalog.videos.list()
    rows = [rows_of(context, row.name) for row in expected]
    whole = [digests(context, row.name) for row in expected]
    context.close()
    for path in tmp_path.glob("longwatch.db*"):
        path.unlink()

    context = open_library(tmp_path, checkpoint)
    message = reindex(context).message
    assert "front door is back in the library; back yard is back in the library" in message
    restored = context.catalog.videos.list()
    assert [replace(row, updated_at=row.created_at) for row in restored] == [
        replace(row, updated_at=row.created_at) for row in expected
    ]
    assert [rows_of(context, row.name) for row in restored] == rows
    assert ingest_now(context, [str(clip)]).videos[0].video_id == expected[0].id
    tensors = [digests(context, row.name) for row in restored]
    assert [strip(files) for files in tensors] == [strip(files) for files in whole]
    assert ask(context, "What happens?", resolve_scope(context, ["back yard"])).answer
    context.close()


def strip(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if name != "video.json"}


def test_restored_video_with_a_lost_chunk_is_marked(
    tmp_path: Path, checkpoint: Path, clip: Path
) -> None:
    context = open_library(tmp_path, checkpoint)
    ingest_now(context, [str(clip)])
    files_of(context, "front door")[N_CHUNKS - 1].unlink()
    context.close()
    (tmp_path / "longwatch.db").unlink()
    context = open_library(tmp_path, checkpoint)
    assert "chunk 6 of 6 is damaged or missing" in reindex(context).message
    assert ingest_now(context, [str(clip)]).videos[0].chunks == N_CHUNKS
    context.close()


def test_address_beside_the_latents_holds_no_password(context: ServiceContext) -> None:
    row = context.catalog.videos.add(name="camera", uri="rtsp://ada:secret@127.0.0.1/live")
    row = replace(row, fingerprint=Fingerprint("f" * 32))
    save_sidecar(context, row)
    (path,) = (context.settings.home / "latents").glob("*/*/video.json")
    assert "secret" not in path.read_text()
    assert "rtsp://127.0.0.1/live" in path.read_text()


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_stills_are_set_aside_and_made_again(
    tmp_path: Path, checkpoint: Path, clip: Path, damage: str
) -> None:
    context = open_library(tmp_path, checkpoint)
    ingest_now(context, [str(clip)])
    video = find_video(context, "front door")
    path = context.stills.path(video.id, 2)
    whole = path.read_bytes()
    DAMAGES[damage](path)
    assert "front door: the stills of 1 chunk damaged" in reindex(context).message
    assert path.with_name(path.name + ".bad").exists()
    assert 2 not in context.stills.ordinals(video.id)
    open_worker(context).run(until_idle=True)
    assert path.read_bytes() == whole
    assert not path.with_name(path.name + ".bad").exists()
    assert reindex(context).message == f"{N_CHUNKS} chunks indexed"
    context.close()
