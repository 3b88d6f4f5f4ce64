"""A library copied into another database: every row, whatever stops it in between."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from engine.errors import InputRefusedError, LongwatchError, StorageBusyError, UnreachableError
from engine.records import ALL_TIME
from storage import table_rows, transfer
from storage.catalog import open_catalog
from storage.database import Database
from storage.migrations import revisions, upgrade
from storage.table_rows import all_tables
from storage.transfer import TableSum, copy_rows
from tests.storage.samples import add_ingesting, chunk
from tests.storage.test_migrations import fill

WAYS = [
    ("sqlite", "sqlite"),
    pytest.param(("sqlite", "postgresql"), marks=pytest.mark.scale),
    pytest.param(("postgresql", "sqlite"), marks=pytest.mark.scale),
]


@pytest.fixture(params=WAYS, ids="-".join)
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """A library with a row in every table, and an empty database."""
    urls = [
        str(request.getfixturevalue("postgres_url"))
        if backend == "postgresql"
        else f"sqlite:///{tmp_path / f'{number}.db'}"
        for number, backend in enumerate(request.param)
    ]
    source, target = map(Database, urls)
    upgrade(source)
    fill(source, revisions()[-1])
    yield source, target
    source.close()
    target.close()


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def copy_sums(database: Database) -> tuple[TableSum, ...]:
    with database.snapshot() as connection:
        return transfer._sums(connection, all_tables(), "", lambda *_: None)


def run(database: Database, *statements: str) -> None:
    with database.write_connection() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_every_row_arrives_and_the_source_stays_as_it_is(
    ends: tuple[Database, Database],
) -> None:
    source, target = ends
    before = copy_sums(source)
    sums = copy_rows(source, target)
    assert {table.table: table.n_rows for table in sums} == {
        table.name: 1 for table in all_tables()
    }
    assert copy_sums(source) == before == sums
    with open_catalog(url_of(target)) as catalog:
        (said,) = catalog.observations.matching("dog", None)
        assert said.observation.text == "Red dogs bark."
        (video,) = catalog.videos.list()
        (match,) = catalog.captions.matching("vans", [(video.id, ALL_TIME)])
        assert match.caption.text == "A red van."


def test_numbers_go_on_behind_the_highest_that_was_ever_given(
    ends: tuple[Database, Database],
) -> None:
    source, target = ends
    insert = "INSERT INTO observations ({0}) SELECT {0} FROM observations LIMIT 1"
    columns = (
        "video_id, kind, start_s, end_s, label, text, words, confidence, model, peak_s, boxes, "
        "colours, heading, n_seen, n_looked"
    )
    # A row that was given the number 2, and is gone.
    run(source, insert.format(columns), "DELETE FROM observations WHERE id = 2")
    copy_rows(source, target)
    run(target, insert.format(columns))
    with target.reading() as session:
        assert session.scalar(text("SELECT max(id) FROM observations")) == 3
    with open_catalog(url_of(target)) as catalog:
        assert catalog.jobs.add("ingest", {}).id == 2


def test_json_null_and_nothing_stay_apart_there_and_back(
    ends: tuple[Database, Database], tmp_path: Path
) -> None:
    source, target = ends
    run(source, "UPDATE jobs SET failure = 'null'")
    copy_rows(source, target)
    with target.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE failure IS NOT NULL")) == 1
    back = Database(f"sqlite:///{tmp_path / 'back.db'}")
    assert copy_rows(target, back) == copy_sums(source)
    back.close()


def test_copy_that_was_killed_goes_on_and_is_opened_by_nobody_meanwhile(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    steps = itertools.count()
    store = transfer._store

    def killed(*arguments: object) -> None:
        if next(steps) == 5:
            raise KeyboardInterrupt
        store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(transfer, "_store", killed)
    with pytest.raises(KeyboardInterrupt):
        copy_rows(source, target)
    with pytest.raises(UnreachableError, match="not complete"):
        open_catalog(url_of(target))
    sums = copy_rows(source, target)
    assert all(table.n_rows == 1 for table in sums)
    open_catalog(url_of(target)).close()


def test_second_copy_at_once_is_refused_in_a_sentence_and_the_first_ends(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    second, store = Database(url_of(target)), transfer._store
    refused: list[StorageBusyError] = []

    def disturbed(*arguments: object) -> None:
        if not refused:
            with pytest.raises(StorageBusyError, match="another copy is being written") as error:
                copy_rows(source, second)
            refused.append(error.value)
        store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(transfer, "_store", disturbed)
    assert copy_rows(source, target) == copy_sums(target)
    assert refused
    # Whoever comes late finds a library, which is not written over.
    with pytest.raises(InputRefusedError, match="holds a library already"):
        copy_rows(source, second)
    second.close()
    if target.is_sqlite:
        assert not list(Path(target.where).parent.glob("*.copying"))


def test_source_that_is_written_to_is_copied_again(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    changes = iter(
        [
            "UPDATE videos SET name = 'hall'",
            "DELETE FROM evidence",
            "UPDATE jobs SET kind = 'probe'",
        ]
    )
    copied = transfer._copy_pass

    def disturbed(*arguments: object) -> None:
        copied(*arguments)  # type: ignore[arg-type]
        run(source, next(changes))

    monkeypatch.setattr(transfer, "_copy_pass", disturbed)
    with pytest.raises(StorageBusyError, match="written to while it is copied"):
        copy_rows(source, target)
    monkeypatch.undo()
    sums = copy_rows(source, target)
    assert {table.table for table in sums if table.n_rows == 0} == {"evidence"}
    with open_catalog(url_of(target)) as catalog:
        assert [video.name for video in catalog.videos.list()] == ["hall"]


def test_library_in_use_is_copied_as_it_was_at_one_moment(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    before = copy_sums(source)
    store = transfer._store

    def disturbed(*arguments: object) -> None:
        store(*arguments)  # type: ignore[arg-type]
        run(source, "UPDATE videos SET wall_s = wall_s + 1", "DELETE FROM verdicts")

    monkeypatch.setattr(transfer, "_store", disturbed)
    assert copy_rows(source, target, is_in_use=True) == before == copy_sums(target)


def test_pages_lose_no_row(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    monkeypatch.setattr(table_rows, "PAGE", 3)
    with open_catalog(url_of(source)) as catalog:
        for name in ("Zoo", "ämt", "a b", "B"):
            video = add_ingesting(catalog, name)
            for ordinal in range(7):
                catalog.chunks.commit(chunk(video, ordinal))
    sums = {table.table: table.n_rows for table in copy_rows(source, target)}
    assert (sums["videos"], sums["chunks"]) == (5, 29)


def test_other_library_is_not_written_over(ends: tuple[Database, Database]) -> None:
    source, target = ends
    with open_catalog(url_of(target)) as catalog:
        kept = catalog.videos.add(name="gate", uri="x")
        with pytest.raises(InputRefusedError, match="holds a library already"):
            copy_rows(source, target)
        assert catalog.videos.list() == (kept,)


def test_tables_of_others_are_left_alone(ends: tuple[Database, Database]) -> None:
    source, target = ends
    run(target, "CREATE TABLE users (id INTEGER)")
    with pytest.raises(InputRefusedError, match="another program"):
        copy_rows(source, target)


def test_copy_of_a_half_copy_or_into_itself_is_refused(
    ends: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = ends
    with pytest.raises(InputRefusedError, match="is already"):
        copy_rows(source, source)
    monkeypatch.setattr(transfer, "_copy_pass", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        copy_rows(source, target)
    with pytest.raises(LongwatchError, match="version copying"):
        copy_rows(target, source)


@pytest.mark.scale
def test_text_that_postgresql_cannot_hold_is_named(tmp_path: Path, postgres_url: str) -> None:
    source, target = Database(f"sqlite:///{tmp_path / 'a.db'}"), Database(postgres_url)
    upgrade(source)
    fill(source, revisions()[-1])
    run(source, "UPDATE videos SET name = 'a' || char(0)")
    with pytest.raises(InputRefusedError, match="a row of videos cannot be stored"):
        copy_rows(source, target)
    source.close()
    target.close()
