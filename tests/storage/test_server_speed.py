"""What a page or a question asks of a large library on PostgreSQL goes by an index."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from engine.records import ALL_TIME, VideoId
from storage.catalog import Catalog, open_catalog
from tests.storage.samples import NANO

pytestmark = pytest.mark.scale

N_VIDEOS = 2000
N_CHUNKS = 20
FILL = f"""
INSERT INTO videos (id, name, uri, status, media_warnings, media_tags, tags, fingerprint, n_chunks,
    latent_bytes, ingested_s, stats, wall_s, warnings, has_grown, created_at, updated_at)
SELECT 'v' || n, 'video ' || n, 'x', 'ready', '[]', '[]', '[]', 'nano', {N_CHUNKS}, 1, 1, '{{}}', 1,
    '[]', false, now(), now() FROM generate_series(1, {N_VIDEOS}) n;
INSERT INTO chunks (video_id, fingerprint, ordinal, start_s, end_s, n_frames, n_latents, file_bytes,
    checksum, activity, stats)
SELECT 'v' || n, 'nano', k, k * 10, k * 10 + 10, 10, 180, 1000, 'sum', 0, '{{}}'
    FROM generate_series(1, {N_VIDEOS}) n, generate_series(0, {N_CHUNKS - 1}) k;
INSERT INTO observations (video_id, kind, start_s, end_s, label, text, words, confidence, model,
    peak_s, boxes, colours, heading, n_seen, n_looked)
SELECT 'v' || n, CASE WHEN k % 4 = 0 THEN 'speech' ELSE 'object' END, k, k + 1, 'car', '',
    'car ' || md5((n * 100 + k)::text) || CASE WHEN n = 7 THEN ' dogs' ELSE '' END, 0.5, 'm', k,
    '[]', '[]', '', 1, 1
    FROM generate_series(1, {N_VIDEOS}) n, generate_series(0, {N_CHUNKS - 1}) k;
INSERT INTO captions (video_id, fingerprint, ordinal, start_s, end_s, text, words, model,
    created_at)
SELECT video_id, fingerprint, ordinal, start_s, end_s, '', 'car ' || md5(video_id || ordinal), 'm',
    now() FROM chunks;
INSERT INTO jobs (kind, payload, state, run_at, attempts, max_attempts, progress_done,
    progress_note, cancel_requested, created_at)
SELECT 'ingest', '{{}}', 'done', now(), 1, 5, 0, '', false, now()
    FROM generate_series(1, {N_VIDEOS * 5});
"""
QUESTIONS: dict[str, Callable[[Catalog], object]] = {
    "chunks of a video": lambda catalog: catalog.chunks.list(VideoId("v7"), NANO),
    "a video": lambda catalog: catalog.videos.get(VideoId("v7")),
    "a name": lambda catalog: catalog.videos.resolve("video 7"),
    "words in the library": lambda catalog: catalog.observations.matching("dog", None),
    "words in videos": lambda catalog: catalog.observations.matching(
        "dog", [(VideoId("v7"), ALL_TIME)]
    ),
    "what was said": lambda catalog: catalog.observations.matching("dog", None, kinds=["speech"]),
    "things of a video": lambda catalog: catalog.observations.list(
        [(VideoId("v7"), ALL_TIME)], kinds=["object"]
    ),
    "captions": lambda catalog: catalog.captions.matching("dog", [(VideoId("v7"), ALL_TIME)]),
    "work": lambda catalog: catalog.jobs.claim("me", ["ingest"], lease_s=1),
}
LARGE = {"chunks", "observations", "captions", "jobs"}


@pytest.fixture(scope="module")
def large(postgres: Any) -> Iterator[Catalog]:
    """A library of 2,000 videos of 20 chunks, 20 observations each, and as many jobs of old."""
    with postgres.library() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL)
            connection.execute("VACUUM ANALYZE")
        with open_catalog(url) as catalog:
            yield catalog


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_about_a_large_library_reads_no_table_whole(large: Catalog, name: str) -> None:
    engine = large._database.engine
    asked: list[tuple[str, Any]] = []

    def keep(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", keep)
    try:
        QUESTIONS[name](large)
    finally:
        event.remove(engine, "before_cursor_execute", keep)
    assert asked
    with large._database.own_connection() as connection:
        for statement, parameters in asked:
            if statement.lstrip().startswith(("SELECT", "UPDATE")):
                plan = connection.execute(f"EXPLAIN {statement}", parameters).fetchall()
                lines = "\n".join(line for (line,) in plan)
                whole = {table for table in LARGE if f"Seq Scan on {table} " in lines}
                assert not whole, f"{statement}\n{lines}"
