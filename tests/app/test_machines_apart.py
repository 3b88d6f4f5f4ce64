"""Machines without a shared disk, on PostgreSQL and S3: together they are one library."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from app.schemas.ask import EvidenceItem
from app.schemas.search import SearchHit
from app.services import uploads
from app.services.access import find_video
from app.services.ask import ask
from app.services.context import ServiceContext
from app.services.library import list_videos, remove_video
from app.services.objects import settle, verify
from app.services.scope import resolve_scope
from app.services.search import search
from app.services.sources import identify
from app.worker.foreground import ingest_now
from engine.errors import NotFoundError
from engine.index.pgvector import PgVectorIndex
from engine.records import VideoId
from engine.synthetic.questions import questions
from engine.synthetic.story import draw_story
from storage.records import VideoRow
from tests.support.object_store import BUCKET, s3_server
from tests.support.servers import environment, open_shared
from tests.support.site import draw_clip, open_library
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore::ResourceWarning")]

MODEL = "nano"
SEED, SECONDS = 1, 120


@dataclass(frozen=True)
class Library:
    """A database and a bucket; what machines share, and nothing else."""

    folder: Path
    url: str
    objects: dict[str, str]

    def home(self, name: str) -> Path:
        """The home folder of a machine, which no other sees."""
        home = self.folder / name / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return home

    @contextmanager
    def opened(self, name: str, **more: object) -> Iterator[ServiceContext]:
        """Open the library on a machine, in this process."""
        settings = {f"objects.{key}": value for key, value in self.objects.items()}
        context = open_shared(self.home(name), self.url, model=MODEL, **settings, **more)
        try:
            yield context
        finally:
            context.close()

    @contextmanager
    def working(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `longwatch worker` on a machine until the body ends."""
        objects = {f"LONGWATCH_OBJECTS__{key.upper()}": self.objects[key] for key in self.objects}
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "worker", "--json"],
            env=environment(self.home(name), self.url, LONGWATCH_MODEL=MODEL, **objects),
            cwd=self.home(name),
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=120)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def library(postgres_library: str, s3: str, tmp_path: Path) -> Library:
    return Library(
        folder=tmp_path,
        url=postgres_library,
        objects={
            "url": f"s3://{BUCKET}/{tmp_path.name}",
            "endpoint": s3,
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": "test",
        },
    )


def upload(context: ServiceContext, clip: Path) -> VideoRow:
    """Send a file as a browser does; its reading is queued."""
    content = clip.read_bytes()
    user = context.catalog.accounts.add_user("ada", "admin")
    row = uploads.announce_upload(context, user.id, size_bytes=len(content), file_name=clip.name)
    part = uploads.UploadPart(context, row, 0)
    part.write(content)
    return uploads.admit_upload(context, part.close())


def n_chunks(context: ServiceContext, video: VideoId) -> int:
    row = context.catalog.videos.get(video)
    if row.fingerprint is None:
        return 0
    return len(context.catalog.chunks.list(video, row.fingerprint))


def kill_in_mid_chunk(
    library: Library, context: ServiceContext, video: VideoId, process: subprocess.Popen[bytes]
) -> None:
    """Kill a worker after it has put a chunk into the store and before the row says so."""
    wait_until(lambda: n_chunks(context, video) >= 2)
    with psycopg.connect(library.url) as connection:
        connection.execute("LOCK TABLE chunks IN EXCLUSIVE MODE")
        waiting = (
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chunks'::regclass"
        )
        wait_until(lambda: connection.execute(waiting).fetchone() != (0,))
        process.kill()
        process.wait()


def files(home: Path) -> dict[str, bytes]:
    """Latents and stills as they lie in a home folder."""
    paths = [*(home / "latents").rglob("*.safetensors"), *(home / "stills").rglob("*.zip")]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in paths}


def objects_of(context: ServiceContext, *trees: str) -> dict[str, bytes]:
    """Latents and stills as they lie in the bucket."""
    objects = context.objects
    assert objects is not None
    return {
        key: objects.store.read(key, 0, size)
        for tree in trees
        for key, size in objects.store.list(tree)
        if not key.endswith(".json")
    }


def answers(context: ServiceContext) -> tuple[list[object], list[float]]:
    """What a search and questions find, and the support of it."""
    scope = resolve_scope(context)
    found = search(context, "a red card", scope, top=8)
    assert found.hits
    said: list[object] = [found.searched_s]
    parts: list[SearchHit | EvidenceItem] = [*found.hits]
    for question in questions(draw_story(SEED, SECONDS, 4.0, height_px=90, width_px=160))[:3]:
        answer = ask(context, question.text, scope)
        said += [answer.answer, answer.answered_by, answer.searched_s, answer.left_out]
        parts += answer.evidence
    assert len(parts) > len(found.hits)
    return [*said, *((part.start_s, part.end_s) for part in parts)], [part.score for part in parts]


def test_two_machines_answer_as_one_and_lose_nothing_with_a_worker(
    library: Library, tmp_path: Path
) -> None:
    clip = draw_clip(tmp_path / "gate.mp4", seed=SEED, seconds=SECONDS)
    with library.opened("a") as a, library.opened("b") as b:
        video = upload(a, clip).id
        with library.working("a") as process:
            kill_in_mid_chunk(library, a, video, process)
        n_before = n_chunks(a, video)
        assert a.catalog.videos.get(video).status == "ingesting"

        with library.working("b"):
            wait_until(lambda: b.catalog.videos.get(video).status == "ready")
        row = b.catalog.videos.get(video)
        assert 2 <= n_before < row.n_chunks

        # The same video on one machine: SQLite, an index in files, no store.
        with open_alone(tmp_path, clip, row) as alone:
            assert isinstance(b.engine.index, PgVectorIndex)
            said, support = answers(alone)
            # Vectors in PostgreSQL are half floats.
            assert answers(b) == (said, pytest.approx(support, abs=1e-3))
            expected = files(alone.settings.home)
        assert objects_of(b, "latents", "stills") == expected
        here = files(library.home("b"))
        assert here == {key: expected[key] for key in here}
        assert verify(a, digests=True).n_damaged == 0

        remove_video(a, find_video(a, "gate"))
        assert list_videos(b).videos == []
        with pytest.raises(NotFoundError, match="nothing is indexed yet"):
            resolve_scope(b)
        b.engine.refresh()
        assert b.engine.index.n_vectors == 0
        assert b.objects is not None
        assert list(b.objects.store.list()) == []
        settle(b)
        assert files(library.home("b")) == {}


@contextmanager
def open_alone(folder: Path, clip: Path, like: VideoRow) -> Iterator[ServiceContext]:
    """Read the video on one machine, under the same id: it stands in the files."""
    home = folder / "alone"
    home.mkdir()
    context = open_library(home, model=MODEL)
    try:
        context.catalog.videos.add(
            name=like.name, uri=str(clip), identity=identify(clip), id=VideoId(like.id)
        )
        ingest_now(context, [str(clip)])
        yield context
    finally:
        context.close()
