"""Two machines on one PostgreSQL: what one adds or removes, the other knows when asked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.index_choice import choose_index
from app.config.settings import load_settings
from app.services.context import ServiceContext
from app.services.library import remove_video
from app.worker.foreground import ingest_now
from engine.errors import MissingCapabilityError, SettingsError, UnreachableError
from engine.index.pgvector import PgVectorIndex
from engine.records import ALL_TIME, VideoId
from tests.app.services.conftest import open_library
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.scale


@pytest.fixture
def machines(
    tmp_path: Path, checkpoint: Path, postgres_library: str
) -> Iterator[tuple[ServiceContext, ServiceContext]]:
    """Two libraries with one database and one disk, both with their engine open."""
    opened = tuple(
        open_library(tmp_path / "home", checkpoint, database_url=postgres_library) for _ in range(2)
    )
    for context in opened:
        assert isinstance(context.engine.index, PgVectorIndex)
    yield opened[0], opened[1]
    for context in opened:
        context.close()


def read(context: ServiceContext, clip: Path) -> VideoId:
    ingest_now(context, [str(clip)])
    (row,) = context.catalog.videos.list()
    return row.id


def test_what_one_adds_the_other_finds_without_a_look_at_a_file(
    machines: tuple[ServiceContext, ServiceContext], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = machines
    assert not second.engine.index.refs()
    video = read(first, clip)

    def refuse(*args: object) -> None:
        raise AssertionError("the index has these chunks: no file of theirs needs to be read")

    monkeypatch.setattr(second.engine.cache, "frame_vectors", refuse)
    second.engine.refresh()
    refs = second.engine.index.refs([(video, ALL_TIME)])
    assert refs
    assert refs == first.engine.index.refs()
    query = first.engine.index.frames(video, 0)
    assert query is not None
    result = second.engine.index.search(query[0][0], 3)
    assert result == first.engine.index.search(query[0][0], 3)
    assert result.hits[0].chunk == refs[0]


def test_what_one_removes_the_other_no_longer_finds(
    machines: tuple[ServiceContext, ServiceContext], clip: Path
) -> None:
    first, second = machines
    video = read(first, clip)
    second.engine.refresh()
    assert second.engine.index.refs().has(video)
    remove_video(first, first.catalog.videos.get(video))
    second.engine.refresh()
    assert not second.engine.index.refs()
    assert second.engine.index.n_vectors == 0


def test_an_index_that_was_lost_is_filled_from_the_files(
    machines: tuple[ServiceContext, ServiceContext], clip: Path, postgres_library: str
) -> None:
    first, second = machines
    video = read(first, clip)
    second.engine.refresh()
    before = second.engine.index.refs()
    # Another process took it for stale, and ended before it had read it again.
    first.engine.index.remove(video)
    second.engine.refresh()
    assert second.engine.index.refs() == before
    tables = second.index_choice.tables
    assert tables is not None
    tables.drop(second.engine.fingerprint)
    again = ServiceContext(second.settings)
    assert again.engine.index.refs() == before
    again.close()


def test_a_folder_that_is_not_here_empties_no_index_of_others(
    machines: tuple[ServiceContext, ServiceContext],
    clip: Path,
    tmp_path: Path,
    checkpoint: Path,
    postgres_library: str,
) -> None:
    first, _ = machines
    video = read(first, clip)
    elsewhere = open_library(tmp_path / "elsewhere", checkpoint, database_url=postgres_library)
    elsewhere.engine.refresh()
    assert elsewhere.engine.index.refs().has(video)
    elsewhere.close()
    assert first.engine.index.refs().has(video)


def test_a_server_that_goes_away_in_a_question_is_one_sentence_and_comes_back(
    machines: tuple[ServiceContext, ServiceContext], clip: Path, postgres: PostgresServer
) -> None:
    first, _ = machines
    read(first, clip)
    refs = first.engine.index.refs()
    postgres.stop()
    with pytest.raises(UnreachableError, match="cannot be used") as raised:
        first.engine.index.refs()
    assert "\n" not in str(raised.value)
    postgres.start()
    assert first.engine.index.refs() == refs


def test_who_may_not_switch_pgvector_on_keeps_files_and_learns_why(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    with postgres.database() as url:
        name = url.partition("?")[0].rpartition("/")[2]
        postgres.execute("DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN", database=name)
        plain = postgres.url(name, user="plain")
        settings = load_settings({"database_url": plain}, home=tmp_path)
        choice = choose_index(settings)
        assert (choice.backend, choice.tables) == ("segments", None)
        assert "may not" in choice.reason
        assert choice.hint == "as a superuser of the database: CREATE EXTENSION vector"
        wanted = load_settings(
            {"database_url": plain, "retrieval.index": "pgvector"}, home=tmp_path
        )
        with pytest.raises(MissingCapabilityError, match="may not"):
            choose_index(wanted)


def test_files_are_used_where_the_settings_name_them(tmp_path: Path, postgres_url: str) -> None:
    flags = {"database_url": postgres_url, "retrieval.index": "segments"}
    assert choose_index(load_settings(flags, home=tmp_path)).backend == "segments"
    with pytest.raises(SettingsError, match="database_url names no PostgreSQL"):
        choose_index(load_settings({"retrieval.index": "pgvector"}, home=tmp_path))
