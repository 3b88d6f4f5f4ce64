"""A thousand times more, on paper: `python -m tests.bench.many_cameras --cameras 10000 --days 365`.

The arithmetic of a year of thousands of cameras from constants that were measured: bytes, shards of
the index, requests, cost, and what breaks first. `--measure` measures the constants on this machine
(a minute of drawn video read, a PostgreSQL that it starts) and writes `assets/bench/scale.json`.

Prices, the bitrate of a camera and the limits of others are assumptions, and printed as such.
"""

import argparse
import heapq
import json
import math
import os
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import psutil
import psycopg

from app.config.settings import load_settings
from app.services.bench import machine_name
from app.services.capacity import CapacityPlanner
from engine.records import ChunkCommitted, ChunkRef, Fingerprint, SampleStats, TimeSpan, VideoId
from storage.catalog import Catalog, open_catalog
from tests.support.postgres import PostgresServer

FILE: Final = Path(__file__).parents[2] / "assets" / "bench" / "scale.json"
BEAT_S: Final = 2.0
"""Pause between two heartbeats of a job: `BEAT_S` of `app/worker`."""
LEASE_S: Final = 30.0
SEGMENT_S: Final = 60.0
N_CHUNKS: Final = 2000
N_VECTORS: Final = 20_000
DIM: Final = 128
MONTH_S: Final = 365 / 12 * 86_400
SHARD_VECTORS: Final = 10_000_000
"""Vectors of one index of pgvector that is still built in hours; larger ones are cut by time."""


@dataclass(frozen=True, kw_only=True)
class Constants:
    """What was measured; CPU time, so that a busy machine changes little."""

    frames_per_core_s: float
    latent_bytes_per_day: float
    still_bytes_per_day: float
    chunk_frames: int
    vector_dim: int
    commit_core_ms: float
    """CPU time of a chunk's transaction, of client and server."""
    beat_core_ms: float
    chunk_row_bytes: float
    vector_row_bytes: float
    """Of a vector with its place, without its index."""
    vector_index_bytes: float
    observe_cores: float
    """Cores that watch one camera with every observer; from `longwatch bench observe`."""


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What nobody here has measured."""

    camera_mbps: float
    store_gb_month: float
    core_hour: float
    database_cores: int
    store_puts_per_s: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the plan."""

    what: str
    amount: str
    share: float | None = None
    """Of what one database or one bucket can do; above 1 it breaks."""


def plan(cameras: int, days: float, fps: float, known: Constants, assumed: Assumed) -> list[Line]:
    """Return the arithmetic of some cameras for some days."""
    per_s = Rates.of(cameras, fps, known)
    camera_days = cameras * days
    n_vectors = cameras * fps * 86_400 * days
    recorded = assumed.camera_mbps * 1e6 / 8 * 86_400 * camera_days
    latents = known.latent_bytes_per_day * fps * camera_days
    stills = known.still_bytes_per_day * fps * camera_days
    vectors = n_vectors * (known.vector_row_bytes + known.vector_index_bytes)
    chunks = n_vectors / known.chunk_frames * known.chunk_row_bytes
    read_cores = cameras * fps / known.frames_per_core_s
    watch_cores = cameras * known.observe_cores
    database_cores = per_s.database_cores(known)
    shards = math.ceil(n_vectors / SHARD_VECTORS)
    stored = recorded + latents + stills
    # Of a month in which all of these days are kept.
    cost_store = stored / 1e9 * assumed.store_gb_month
    cost_cores = (read_cores + watch_cores) * assumed.core_hour * MONTH_S / 3600
    return [
        Line(what="recordings (assumed bitrate)", amount=size(recorded)),
        Line(what="latents", amount=size(latents)),
        Line(what="stills", amount=size(stills)),
        Line(what="vectors with their index", amount=size(vectors)),
        Line(what="rows of chunks", amount=size(chunks)),
        Line(what="vectors", amount=f"{n_vectors:,.0f} in {shards:,} shards"),
        Line(what="cores that read", amount=f"{read_cores:,.0f}"),
        Line(what="cores that observe everything", amount=f"{watch_cores:,.0f}"),
        Line(
            what="transactions a second",
            amount=f"{per_s.commits:,.0f} chunks, {per_s.beats:,.0f} heartbeats, "
            f"{per_s.segments:,.0f} files",
            share=database_cores / assumed.database_cores,
        ),
        Line(
            what="writes a second to the store",
            amount=f"{per_s.puts:,.0f}",
            share=per_s.puts / assumed.store_puts_per_s,
        ),
        Line(
            what="cost of a camera a month (assumed prices)",
            amount=f"{cost_store / cameras:,.2f} kept + {cost_cores / cameras:,.2f} computed",
        ),
    ]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What cameras ask of what they share, a second."""

    commits: float
    beats: float
    segments: float

    @classmethod
    def of(cls, cameras: int, fps: float, known: Constants) -> "Rates":
        """Return the rates of some cameras, each of them a job."""
        return cls(
            commits=cameras * fps / known.chunk_frames,
            beats=cameras / BEAT_S,
            segments=cameras / SEGMENT_S,
        )

    @property
    def puts(self) -> float:
        """Objects written: latents and stills of a chunk, and a file of the recording."""
        return 2 * self.commits + self.segments

    def database_cores(self, known: Constants) -> float:
        """Cores that transactions keep busy: a chunk brings its row and its progress."""
        commits = 2 * self.commits + self.segments
        return (commits * known.commit_core_ms + self.beats * known.beat_core_ms) / 1000


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What a simulated stop of the database does."""

    most_waiting: int
    calm_after_s: float
    """Seconds until nothing waits any more; infinite where that never comes."""
    leases_lost: int


def simulate(
    cameras: int,
    fps: float,
    known: Constants,
    *,
    cores: int,
    stop_s: float,
    seed: int = 0,
    most_s: float = 300.0,
) -> Outage:
    """Let the database stop for a while, and see who loses a lease and when it is calm again.

    Every camera beats and commits at a phase of its own; while it waits for an answer it asks for
    nothing more. The database answers in the order of arrival, on some cores.
    """
    draw = random.Random(seed)
    chunk_s = known.chunk_frames / fps
    events = [(draw.random() * BEAT_S, 0, camera) for camera in range(cameras)]
    events += [(draw.random() * chunk_s, 1, camera) for camera in range(cameras)]
    heapq.heapify(events)
    free = [stop_s] * cores
    last_beat = [0.0] * cameras
    lost = [False] * cameras
    waiting: list[float] = []
    most_waiting, calm_at = 0, math.inf
    cost_s = (known.beat_core_ms / 1000, 2 * known.commit_core_ms / 1000)
    while events:
        at, kind, camera = heapq.heappop(events)
        if at > most_s:
            break
        while waiting and waiting[0] <= at:
            heapq.heappop(waiting)
        begun = max(at, heapq.heappop(free))
        done = begun + cost_s[kind]
        heapq.heappush(free, done)
        heapq.heappush(waiting, done)
        most_waiting = max(most_waiting, len(waiting))
        if at > stop_s and len(waiting) <= cores:
            calm_at = min(calm_at, at)
        if kind == 0:
            lost[camera] |= done - last_beat[camera] > LEASE_S
            last_beat[camera] = done
        heapq.heappush(events, (max(at, done) + (BEAT_S, chunk_s)[kind], kind, camera))
    return Outage(most_waiting=most_waiting, calm_after_s=calm_at - stop_s, leases_lost=sum(lost))


def first_to_break(known: Constants, fps: float, assumed: Assumed) -> list[tuple[str, int]]:
    """Return what is shared, with the cameras at which it can do no more; the first one first."""
    one = Rates.of(1, fps, known)
    limits = {
        "transactions of one database": assumed.database_cores / one.database_cores(known),
        "writes to one prefix of the store": assumed.store_puts_per_s / one.puts,
        "a day of vectors in one shard": SHARD_VECTORS / (fps * 86_400),
    }
    return sorted(((what, int(n)) for what, n in limits.items()), key=lambda row: row[1])


def measure() -> Constants:
    """Measure this machine."""
    settings = load_settings({})
    response = CapacityPlanner().plan(settings, "1 camera, 1 fps, 1 day")
    server = PostgresServer()
    try:
        with server.library() as url, open_catalog(url) as catalog:
            commit_ms, beat_ms = _transactions(catalog)
            chunk_row = _table_bytes(url, "chunks") / N_CHUNKS
            row, index = _vectors(url)
    finally:
        server.remove()
    observed = json.loads((FILE.parent / "2-core-amd-epyc.json").read_text())["figures"]["observe"]
    stages = observed["stages"].values()
    return Constants(
        frames_per_core_s=response.rates.frames_per_s / (os.cpu_count() or 1),
        latent_bytes_per_day=response.rates.latent_bytes_per_day,
        still_bytes_per_day=response.rates.still_bytes_per_day,
        chunk_frames=8,
        vector_dim=DIM,
        commit_core_ms=commit_ms,
        beat_core_ms=beat_ms,
        chunk_row_bytes=chunk_row,
        vector_row_bytes=row,
        vector_index_bytes=index,
        observe_cores=sum(stage["cpu_s"] for stage in stages) / observed["media_s"],
    )


def _transactions(catalog: Catalog) -> tuple[float, float]:
    """Return the CPU time of committing a chunk and of a heartbeat, in milliseconds."""
    video = catalog.videos.add(name="gate", uri="rtsp://gate").id
    fingerprint = Fingerprint("nano")
    job = catalog.jobs.add("film", {})
    claimed = catalog.jobs.claim("bench", ["film"], lease_s=600, job=job.id)
    assert claimed is not None, "a job that nobody else wants"
    return (
        _core_ms(lambda n: catalog.chunks.commit(_chunk(video, fingerprint, n)), N_CHUNKS),
        _core_ms(lambda n: catalog.jobs.heartbeat(claimed, lease_s=30), N_CHUNKS // 2),
    )


def _chunk(video: VideoId, fingerprint: Fingerprint, ordinal: int) -> ChunkCommitted:
    span = TimeSpan(start_s=8.0 * ordinal, end_s=8.0 * (ordinal + 1))
    return ChunkCommitted(
        ref=ChunkRef(video=video, ordinal=ordinal, span=span),
        fingerprint=fingerprint,
        n_frames=8,
        n_latents=8,
        file_bytes=17_000,
        checksum="0" * 64,
        activity=0.5,
        stats=SampleStats(),
    )


def _core_ms(work: Callable[[int], object], n: int) -> float:
    before = _cpu_s()
    for number in range(n):
        work(number)
    return (_cpu_s() - before) / n * 1000


def _cpu_s() -> float:
    """Return the CPU time of this process and of the database that it started."""
    own = psutil.Process()
    total = 0.0
    for process in (own, *own.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def _table_bytes(url: str, table: str) -> float:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [table]).fetchone()
    assert row is not None
    return float(row[0])


def _vectors(url: str) -> tuple[float, float]:
    """Return the bytes of a vector with its place, and those of its part of an HNSW index."""
    generator = np.random.default_rng(0)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            "CREATE TABLE bench_vectors (video text, ordinal int, at_s float8, "
            f"embedding halfvec({DIM}))"
        )
        with connection.cursor().copy("COPY bench_vectors FROM STDIN") as copy:
            for number in range(N_VECTORS):
                numbers = ",".join(f"{value:.3f}" for value in generator.normal(size=DIM))
                copy.write_row(("0123456789ab", number, number * 1.0, f"[{numbers}]"))
        connection.commit()
        heap = _table_bytes(url, "bench_vectors")
        connection.execute(
            "CREATE INDEX bench_hnsw ON bench_vectors USING hnsw (embedding halfvec_cosine_ops)"
        )
        connection.commit()
    return heap / N_VECTORS, _table_bytes(url, "bench_hnsw") / N_VECTORS


def size(n_bytes: float) -> str:
    """Spell bytes."""
    for unit, power in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9)):
        if n_bytes >= power:
            return f"{n_bytes / power:,.1f} {unit}"
    return f"{n_bytes / 1e6:,.1f} MB"


def main() -> None:
    """Print the plan, or measure first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--cameras", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=365.0)
    parser.add_argument("--fps", type=float, default=1.0)
    parser.add_argument("--camera-mbps", type=float, default=2.0, help="Assumed.")
    parser.add_argument("--store-gb-month", type=float, default=0.02, help="Assumed price.")
    parser.add_argument("--core-hour", type=float, default=0.04, help="Assumed price.")
    parser.add_argument("--database-cores", type=int, default=32, help="Assumed.")
    parser.add_argument("--store-puts", type=float, default=3500.0, help="Assumed, a prefix.")
    chosen = parser.parse_args()
    if chosen.measure:
        measured = {
            "machine": machine_name(),
            "date": date.today().isoformat(),
            "command": "python -m tests.bench.many_cameras --measure",
            "constants": {
                name: float(f"{value:.4g}") if isinstance(value, float) else value
                for name, value in asdict(measure()).items()
            },
        }
        FILE.write_text(json.dumps(measured, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    kept = json.loads(FILE.read_text(encoding="utf-8"))
    known = Constants(**kept["constants"])
    assumed = Assumed(
        camera_mbps=chosen.camera_mbps,
        store_gb_month=chosen.store_gb_month,
        core_hour=chosen.core_hour,
        database_cores=chosen.database_cores,
        store_puts_per_s=chosen.store_puts,
    )
    print(f"{chosen.cameras:,} cameras, {chosen.fps:g} fps, {chosen.days:g} days")
    print(f"constants: {kept['machine']}, {kept['date']}; assumed: {assumed}")
    for line in plan(chosen.cameras, chosen.days, chosen.fps, known, assumed):
        share = "" if line.share is None else f"   {line.share:.0%} of what one can do"
        print(f"  {line.what:44} {line.amount}{share}")
    print("what breaks first:")
    for what, n in first_to_break(known, chosen.fps, assumed):
        print(f"  {what:44} at {n:,} cameras")
    print("the database stops for 20 s:")
    for cameras in (chosen.cameras // 100, chosen.cameras // 10, chosen.cameras):
        outage = simulate(
            max(1, cameras), chosen.fps, known, cores=chosen.database_cores, stop_s=20.0
        )
        print(
            f"  {cameras:8,} cameras: {outage.most_waiting:,} wait at most, calm after "
            f"{outage.calm_after_s:.1f} s, {outage.leases_lost:,} leases lost"
        )


if __name__ == "__main__":
    main()
