"""The catalog is shared: between processes, which lose nothing to each other."""

import multiprocessing
import time
from multiprocessing.synchronize import Barrier

from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from storage.catalog import Catalog, open_catalog

N_CHUNKS = 60
NANO = Fingerprint("nano")


def chunk(video: VideoId, ordinal: int) -> ChunkCommitted:
    return ChunkCommitted(
        ref=ChunkRef(
            video=video,
            ordinal=ordinal,
            span=TimeSpan(start_s=float(ordinal), end_s=float(ordinal + 1)),
        ),
        fingerprint=NANO,
        n_frames=10,
        n_latents=180,
        file_bytes=10 + ordinal,
        checksum=f"sum{ordinal}",
        activity=0.0,
        stats=SampleStats(frames_sampled=ordinal),
    )


def commit(url: str, video: VideoId, ordinals: range, barrier: Barrier) -> None:
    with open_catalog(url) as catalog:
        barrier.wait(30)
        for ordinal in ordinals:
            catalog.videos.commit_chunk(chunk(video, ordinal))
            catalog.videos.chunks(video, NANO)


def test_two_processes_count_every_chunk_once(catalog: Catalog, database_url: str) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    catalog.videos.begin_ingest(
        video, fingerprint=NANO, model="nano", sample_fps=1.0, compression_ratio=8
    )
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    # The middle third is committed by both.
    shares = (range(2 * N_CHUNKS // 3), range(N_CHUNKS // 3, N_CHUNKS))
    processes = [
        spawn.Process(target=commit, args=(database_url, video, share, barrier)) for share in shares
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    row = catalog.videos.get(video)
    assert (row.n_chunks, row.ingested_s) == (N_CHUNKS, float(N_CHUNKS))
    assert row.latent_bytes == sum(10 + ordinal for ordinal in range(N_CHUNKS))
    assert row.stats.frames_sampled == N_CHUNKS - 1
    assert catalog.videos.missing_ordinals(video, NANO) == ()


def test_killed_writer_leaves_counts_that_add_up(catalog: Catalog, database_url: str) -> None:
    video = catalog.videos.add(name="lobby", uri="x").id
    catalog.videos.begin_ingest(
        video, fingerprint=NANO, model="nano", sample_fps=1.0, compression_ratio=8
    )
    spawn = multiprocessing.get_context("spawn")
    for wait_s in (0.05, 0.11, 0.17):
        barrier = spawn.Barrier(2)
        writer = spawn.Process(target=commit, args=(database_url, video, range(10_000), barrier))
        writer.start()
        barrier.wait(30)
        time.sleep(wait_s)
        writer.kill()
        writer.join(30)
        kept = catalog.videos.get(video)
        chunks = catalog.videos.chunks(video, NANO)
        assert catalog.videos.missing_ordinals(video, NANO) == ()
        assert kept.n_chunks == len(chunks)
        assert kept.latent_bytes == sum(one.file_bytes for one in chunks)
        catalog.videos.commit_chunk(chunk(video, len(chunks)))


def test_catalog_shows_where_it_is_without_its_password(
    catalog: Catalog, database_url: str
) -> None:
    assert catalog.where.rpartition("/")[2] in database_url
