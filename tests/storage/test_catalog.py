"""The catalog is shared: between processes, which lose nothing to each other."""

import time
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier

from engine.records import VideoId
from storage.catalog import Catalog, open_catalog
from tests.storage.samples import NANO, add_ingesting, chunk

N_CHUNKS = 60


def commit(url: str, video: VideoId, ordinals: range, barrier: Barrier) -> None:
    with open_catalog(url) as catalog:
        barrier.wait(30)
        for ordinal in ordinals:
            catalog.chunks.commit(chunk(video, ordinal))
            catalog.chunks.list(video, NANO)


def test_two_processes_count_every_chunk_once(
    catalog: Catalog, library_url: str, processes: ForkServerContext
) -> None:
    video = add_ingesting(catalog)
    barrier = processes.Barrier(2)
    # The middle third is committed by both.
    shares = (range(2 * N_CHUNKS // 3), range(N_CHUNKS // 3, N_CHUNKS))
    workers = [
        processes.Process(target=commit, args=(library_url, video, share, barrier))
        for share in shares
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    row = catalog.videos.get(video)
    expected = tuple(chunk(video, ordinal) for ordinal in range(N_CHUNKS))
    assert catalog.chunks.list(video, NANO) == expected
    assert (row.n_chunks, row.ingested_s) == (N_CHUNKS, expected[-1].ref.span.end_s)
    assert row.latent_bytes == sum(committed.file_bytes for committed in expected)
    assert row.stats == expected[-1].stats


def test_killed_writer_leaves_counts_that_add_up(
    catalog: Catalog, library_url: str, processes: ForkServerContext
) -> None:
    video = add_ingesting(catalog)
    for wait_s in (0.05, 0.11, 0.17):
        barrier = processes.Barrier(2)
        writer = processes.Process(target=commit, args=(library_url, video, range(10_000), barrier))
        writer.start()
        barrier.wait(30)
        time.sleep(wait_s)
        writer.kill()
        writer.join(30)
        kept = catalog.videos.get(video)
        chunks = catalog.chunks.list(video, NANO)
        assert [committed.ref.ordinal for committed in chunks] == list(range(len(chunks)))
        assert kept.n_chunks == len(chunks)
        assert kept.latent_bytes == sum(committed.file_bytes for committed in chunks)
        catalog.chunks.commit(chunk(video, len(chunks)))


def test_catalog_shows_where_it_is_without_its_password(catalog: Catalog, library_url: str) -> None:
    assert catalog.where.rpartition("/")[2].partition("?")[0] in library_url
