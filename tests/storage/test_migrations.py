"""From an empty database, and from every version before, to today's tables."""

from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from engine.errors import UnreachableError
from engine.records import ALL_TIME, Fingerprint
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
        # Full-text indexes are none of SQLAlchemy's: tests of captions and observations use them.
        options = {
            "compare_server_default": True,
            "include_name": lambda name, *_: "_fts" not in (name or ""),
        }
        context = MigrationContext.configure(connection, opts=options)
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
    "0005": {},
    "0006": {},
    "0007": {
        "observations": {
            "video_id": "a1", "kind": "speech", "start_s": 1, "end_s": 2, "label": "",
            "text": "Red dogs bark.", "words": "red dogs bark", "confidence": 0.5,
            "model": "whisper", "peak_s": 1, "boxes": "[]", "colours": "[]", "heading": "",
            "n_seen": 1, "n_looked": 1,
        },
        "observed": {
            "video_id": "a1", "kind": "speech", "model": "whisper", "labels": "[]", "start_s": 0,
            "end_s": 60.5,
        },
    },
    "0008": {},
    "0009": {
        "cameras": {
            "id": "c1", "name": "Gate", "folded_name": "gate", "address": "rtsp://10.0.0.7/live",
            "watch": '["objects"]', "records": True, "segment_days": 3, "latent_bytes": 1000000,
            "enabled": True, "state": "live", "state_since": NOON, "state_note": "",
            "n_connects": 3, "frames_dropped": 0, "created_at": NOON,
        },
        "camera_grants": {"user_id": "u1", "camera_id": "c1"},
        "segments": {
            "camera_id": "c1", "video_id": "a1", "name": "20260301T120000.000Z.mp4",
            "start_at": NOON, "start_s": 0, "end_s": 60.5, "n_bytes": 9, "is_open": False,
        },
    },
    "0010": {},
    "0011": {
        "verdicts": {
            "user_id": "u1", "video_id": "a1", "start_s": 1, "end_s": 2, "peak_s": 1.5,
            "query": "a red van", "is_right": True, "origin": "search", "kind": "vector",
            "score": 0.5, "created_at": NOON, "updated_at": NOON,
        },
    },
    "0012": {
        "alert_rules": {
            "name": "door", "is_enabled": True, "definition": '{"what": "object"}', "revision": 2,
            "created_at": NOON, "updated_at": NOON,
        },
        "alert_watches": {"rule_id": 1, "video_id": "a1", "until_s": 30, "state": "{}"},
        "alerts": {
            "rule_id": 1, "rule": "door", "revision": 2, "video_id": "a1", "start_s": 1,
            "end_s": 4, "peak_s": 2, "score": 0.75, "reason": "a person", "evidence": "[]",
            "judged_by": "observations", "state": "open", "raised_at": NOON,
            "has_picture": False,
        },
        "alert_destinations": {
            "name": "phone", "kind": "webhook", "address": "https://example.org/hook",
            "options": "{}", "created_at": NOON,
        },
        "deliveries": {
            "alert_id": 1, "destination_id": 1, "key": "msg_1", "state": "queued", "attempts": 1,
            "run_at": NOON, "is_repeat": False, "created_at": NOON,
        },
    },
    "0013": {},
    "0014": {},
    "0015": {
        "objects": {
            "key": "media/u.bin", "folder": "media", "n_bytes": 4, "sha256": "0" * 64,
            "written_ns": 1, "state": "kept", "changed_at": NOON,
        },
        "object_folders": {"folder": "media", "parent": "", "tree": "media", "version": 1},
    },
    "0016": {
        "leases": {"name": "retention", "owner": "a", "until": NOON},
        "sign_in_failures": {
            "name": "ada", "address": "10.0.0.1", "count": 3, "last_at": 9, "retry_at": 10,
        },
        "nodes": {
            "name": "a", "address": "http://a", "videos": '["a1"]', "beat_at": NOON,
            "started_at": NOON,
        },
        "library_values": {"name": "setting:model", "value": '"nano"', "revision": 1},
    },
    "0017": {
        "workers": {"name": "gate:7", "places": 64, "started_at": NOON, "seen_at": NOON},
    },
    "0018": {},
    "0019": {
        "turn_images": {"conversation_id": "k1", "ordinal": 0, "place": 0, "jpeg": b"\xff\xd8"},
    },
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
        # Step 5 says of the clocks that are there who set them.
        assert (video.start_at is None) == (video.start_source is None)
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
            # Of answers that were kept before step 8 nobody knows who gave them.
            assert (turn.answered_by, turn.nearest) == (None, ())
            (run,) = catalog.probes.list()
            assert run.result.cells[0].answers_right == 7
        if revision >= "0003":
            assert [caption.text for caption in catalog.captions.list(video.id)] == ["A red van."]
            # Step 8 brings words to their stems, those that were written before it too.
            (match,) = catalog.captions.matching("vans", [(video.id, ALL_TIME)])
            assert match.caption.text == "A red van."
        if revision >= "0007":
            (said,) = catalog.observations.matching("dog", [(video.id, ALL_TIME)])
            assert said.observation.text == "Red dogs bark."
            assert catalog.observations.reach(video.id)[0].span.end_s == 60.5
        # A video of an earlier version belongs to no camera.
        assert video.camera is None
        if revision >= "0009":
            camera = catalog.cameras.find("GATE")
            assert camera is not None
            assert (camera.state, camera.n_connects, camera.watch) == ("live", 3, ("objects",))
            assert camera.retention.segment_days == 3
            assert catalog.segments.total_bytes(camera.id) == 9
        if revision >= "0012":
            (rule,) = catalog.alert_rules.list()
            (alert,) = catalog.alerts.list(rule=rule.id)
            assert (rule.definition, alert.reason) == ({"what": "object"}, "a person")
            (delivery,) = catalog.deliveries.list(alert=alert.id)
            place = catalog.destinations.get(delivery.destination)
            assert (place.name, delivery.attempts) == ("phone", 1)
        if revision >= "0016":
            assert catalog.values.get("setting:model") == "nano"


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
