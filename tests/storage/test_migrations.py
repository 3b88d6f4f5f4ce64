"""From an empty database, and from every version before, to today's tables."""

from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from engine.errors import UnreachableError
from engine.records import Fingerprint
from storage.catalog import open_catalog
from storage.database import Database
from storage.migrations import revisions, upgrade
from storage.records import Failure
from storage.tables import Base


@pytest.mark.parametrize("start", [None, *revisions()])
def test_every_version_becomes_todays_tables(database_url: str, start: str | None) -> None:
    database = Database(database_url)
    if start is not None:
        upgrade(database, start)
    upgrade(database)
    with database.write_connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


NOON = "2026-03-01 12:00:00+00:00"
ROWS: dict[str, dict[str, dict[str, object]]] = {
    "0001": {
        "videos": {
            "id": "a1", "name": "lobby", "uri": "lobby.mp4", "identity": "d1", "status": "ready",
            "media_warnings": "[]", "media_tags": "[]", "fingerprint": "nano", "n_chunks": 1,
            "latent_bytes": 1000, "ingested_s": 60.5, "stats": '{"frames_sampled": 10}',
            "wall_s": 2.5, "warnings": '["1 gap"]', "created_at": NOON, "updated_at": NOON,
        },
        "chunks": {
            "video_id": "a1", "fingerprint": "nano", "ordinal": 0, "start_s": 0, "end_s": 60.5,
            "n_frames": 10, "n_latents": 180, "file_bytes": 1000, "checksum": "sum",
            "activity": 0.25, "stats": "{}",
        },
        "jobs": {
            "kind": "ingest", "payload": '{"fps": 1}', "video_id": "a1", "stream": "a1",
            "state": "failed", "run_at": NOON, "attempts": 2, "max_attempts": 5,
            "progress_done": 7, "progress_note": "reading", "cancel_requested": False,
            "failure": '{"code": "unreachable", "message": "gone", "hint": null}',
            "created_at": NOON,
        },
    },
    "0002": {
        "users": {"id": "u1", "name": "ada", "role": "admin", "created_at": NOON},
        "grants": {"user_id": "u1", "video_id": "a1"},
        "sessions": {
            "secret_hash": "s", "user_id": "u1", "csrf": "c", "created_at": NOON,
            "expires_at": "2999-01-01 00:00:00+00:00",
        },
        "tokens": {
            "user_id": "u1", "name": "script", "kind": "api", "secret_hash": "t",
            "scopes": '["ask"]', "created_at": NOON,
        },
        "uploads": {
            "id": "f1", "user_id": "u1", "name": "lobby", "size_bytes": 9, "offset_bytes": 4,
            "details": '{"filetype": "video/mp4"}', "created_at": NOON, "expires_at": NOON,
        },
        "conversations": {
            "id": "k1", "user_id": "u1", "title": "vans", "videos": '["a1"]', "created_at": NOON,
            "updated_at": NOON,
        },
        "turns": {
            "conversation_id": "k1", "ordinal": 0, "question": "what?", "answer": "a red van",
            "model": "video_xl/nano", "recall": "top", "searched_s": 60.5, "recalled_chunks": 1,
            "retrieve_ms": 1, "first_token_ms": 2, "total_ms": 3, "created_at": NOON,
        },
        "evidence": {
            "conversation_id": "k1", "ordinal": 0, "rank": 0, "video_id": "a1", "start_s": 1,
            "end_s": 2, "score": 0.5, "origin": "retrieval", "keyframe_s": 1.5,
        },
        "probe_runs": {
            "haystack": "lobby", "model": "video_xl/nano", "compression_ratio": 8,
            "recall": "top", "settings": "{}", "wall_s": 4, "created_at": NOON,
        },
        "probe_cells": {
            "run_id": 1, "ordinal": 0, "length_frames": 64, "length_s": 64, "depth": 0.5, "n": 8,
            "answers_right": 7, "evidence_hit_at_1": 6, "evidence_hit_at_5": 8, "trials": "[]",
        },
    },
    "0003": {
        "captions": {
            "video_id": "a1", "fingerprint": "nano", "ordinal": 0, "start_s": 0, "end_s": 60.5,
            "text": "A red van.", "words": " red van ", "model": "video_xl/nano",
            "created_at": NOON,
        },
    },
    "0004": {},
}  # fmt: skip
"""By revision, a row for each table that it added: parents before their children."""


def fill(database: Database, revision: str) -> None:
    """Insert a row into every table that `revision` knows, without today's classes."""
    with database.write_connection() as connection:
        for known in revisions():
            if known > revision:
                break
            for table, values in ROWS[known].items():
                names, slots = ", ".join(values), ", ".join(f":{name}" for name in values)
                statement = text(f"INSERT INTO {table} ({names}) VALUES ({slots})")
                connection.execute(statement, values)


@pytest.mark.parametrize("revision", revisions())
def test_rows_of_every_version_are_found_again(database_url: str, revision: str) -> None:
    database = Database(database_url)
    upgrade(database, revision)
    fill(database, revision)
    database.close()
    with open_catalog(database_url) as catalog:
        video = catalog.videos.resolve("lobby")
        assert (video.ingested_s, video.warnings, video.stats.frames_sampled) == (
            60.5, ("1 gap",), 10,
        )  # fmt: skip
        (chunk,) = catalog.chunks.list(video.id, Fingerprint("nano"))
        assert (chunk.checksum, chunk.ref.span.end_s) == ("sum", 60.5)
        (job,) = catalog.jobs.list("failed", video=video.id)
        assert (job.payload, job.attempts, job.progress.done) == ({"fps": 1}, 2, 7)
        assert job.failure == Failure(code="unreachable", message="gone")
        if revision >= "0002":
            user = catalog.accounts.user("ada")
            assert user is not None
            assert catalog.accounts.granted(user.id) == {video.id}
            assert catalog.accounts.session("s") is not None
            used = catalog.accounts.use_token("t", "api")
            assert used is not None
            # Step 4 writes down what a token was able to do before scopes were enforced.
            assert used[1].scopes == (("ask",) if revision >= "0004" else ("read", "write"))
            assert catalog.uploads.list(user.id)[0].offset_bytes == 4
            (talk,) = catalog.conversations.list(user.id)
            (turn,) = catalog.conversations.turns(talk.id)
            assert (turn.answer, turn.evidence[0].keyframe_s) == ("a red van", 1.5)
            (run,) = catalog.probes.list()
            assert run.result.cells[0].answers_right == 7
        if revision >= "0003":
            assert [caption.text for caption in catalog.captions.list(video.id)] == ["A red van."]


def test_every_step_has_rows_to_lose() -> None:
    assert {*ROWS} == {*revisions()}


def test_steps_are_numbered_without_gaps() -> None:
    known = revisions()
    assert known == tuple(f"{number:04d}" for number in range(1, len(known) + 1))


def test_newer_database_is_refused_with_a_sentence(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database)
    with database.write_connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(UnreachableError, match="tables of version 9999, this Longwatch knows"):
        open_catalog(database_url)


def test_failed_step_leaves_nothing_behind(database_url: str) -> None:
    database = Database(database_url)
    with database.write_connection() as connection:
        # Step 2 will find one of its tables there already.
        connection.execute(text("CREATE TABLE users (id TEXT)"))
    with pytest.raises(Exception, match="users"):
        upgrade(database)
    with database.write_connection() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() is None
        assert not connection.dialect.has_table(connection, "videos")
    database.close()


def test_processes_that_open_at_once_agree(database_url: str, processes: ForkServerContext) -> None:
    barrier = processes.Barrier(2)
    workers = [processes.Process(target=_open, args=(database_url, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with open_catalog(database_url) as catalog:
        assert len(catalog.videos.list()) == 2


def test_migrations_travel_with_the_package() -> None:
    folder = Path(__file__).parents[2] / "storage" / "migrations"
    assert {file.name for file in folder.iterdir()} >= {"env.py", "versions", "__init__.py"}


def _open(url: str, barrier: Barrier) -> None:
    barrier.wait(30)
    with open_catalog(url) as catalog:
        catalog.videos.add(name="lobby", uri="x")
