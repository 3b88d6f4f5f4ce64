"""Cameras with a password: read, also by another process, and their secrets shown nowhere."""

import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.progress import Unattended
from app.services.cameras import source_address
from app.services.context import ServiceContext
from app.services.ingest import add_source, read_video
from app.services.library import describe_video, remove_video
from app.services.originals import check_original
from app.services.pictures import find_sprite, kept_still
from app.services.sources import expand
from engine.errors import InputRefusedError, LongwatchError, NotFoundError, UnreachableError
from storage.catalog import utc_now
from tests.app.services.conftest import open_library
from tests.support.camera import NAME, PASSWORD, QUOTED_PASSWORD, Scheme, open_camera
from tests.support.rtsp_camera import open_rtsp_camera
from tests.support.synthetic import encoded_video


class _StopAfterChunks(Unattended):
    """A job that ends by itself once a chunk is committed."""

    def __init__(self) -> None:
        self.is_done = False
        self.command_lines = ""
        """Of the processes that were started, while they read."""

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        self.is_done = True
        for child in psutil.Process().children(recursive=True):
            self.command_lines += f"{child.cmdline()} {child.environ()}\n"

    def should_stop(self) -> bool:
        return self.is_done


@pytest.fixture
def web_context(tmp_path: Path, checkpoint: Path) -> Iterator[ServiceContext]:
    opened = open_library(tmp_path / "home", checkpoint, allow_network=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("part") / "part.ts"
    return encoded_video(path, 750, gop_frames=25, noise=False).read_bytes()


def test_pictures_of_a_camera_are_its_stills(web_context: ServiceContext, part: bytes) -> None:
    with open_camera([part] * 3) as camera:
        video = add_source(web_context, camera.address(""))
        video = read_video(web_context, video, _StopAfterChunks())
    times_s = web_context.stills.times(video.id)
    assert times_s == (0.0, 1.0, 2.0, 3.0), "a chunk of the tiny model"
    for time_s in times_s:
        jpeg = kept_still(web_context, video, time_s, 640)
        assert jpeg == web_context.stills.at(video.id, time_s).jpeg
    assert find_sprite(web_context, video) is not None
    with pytest.raises(NotFoundError, match="live source"):
        check_original(web_context, video)


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_camera_with_a_password_is_read_after_a_restart(
    web_context: ServiceContext, checkpoint: Path, part: bytes, scheme: Scheme
) -> None:
    home = web_context.settings.home
    with open_camera([part] * 3, scheme) as camera:
        video = add_source(web_context, camera.address())
        web_context.close()
        restarted = open_library(home, checkpoint, allow_network=True)
        opened_at = utc_now()
        row = restarted.catalog.videos.get(video.id)
        read = read_video(restarted, row, _StopAfterChunks())
        restarted.close()
    assert read.n_chunks > 0
    # A feed tells no time: it begins when it was opened.
    assert read.start_source == "live"
    assert read.start_at is not None
    assert opened_at <= read.start_at <= utc_now()
    shown = f"{read} {describe_video(restarted, read)}"
    assert QUOTED_PASSWORD not in shown
    assert NAME not in shown


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_rtsp_camera_is_read_and_read_on_with_a_secret_that_is_kept_elsewhere(
    context: ServiceContext,
    checkpoint: Path,
    part: bytes,
    scheme: Scheme,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LONGWATCH_SECRET_GATE", PASSWORD)
    caplog.set_level("DEBUG")
    home = context.settings.home
    # One connection for the probe, and two in one reading: the feed breaks off in between.
    with open_rtsp_camera([part, part[: len(part) // 15], part], scheme) as camera:
        video = add_source(context, camera.address(f"{NAME}:{{env:LONGWATCH_SECRET_GATE}}@"))
        context.close()
        restarted = open_library(home, checkpoint)
        job = _StopAfterChunks()
        read = read_video(restarted, restarted.catalog.videos.get(video.id), job)
        restarted.close()
        assert camera.n_played == 3
    assert read.n_chunks > 0
    assert job.command_lines
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    shown = f"{read} {describe_video(restarted, read)} {caplog.text} {job.command_lines} {stored!r}"
    for secret in (PASSWORD, QUOTED_PASSWORD):
        assert secret not in shown
    assert f"{NAME}:" not in f"{describe_video(restarted, read)} {caplog.text} {job.command_lines}"


def test_secret_lies_in_one_file_that_its_owner_alone_reads(
    web_context: ServiceContext, part: bytes
) -> None:
    home = web_context.settings.home
    with open_camera([part], "basic") as camera:
        video = add_source(web_context, camera.address())
    web_context.close()
    holders = [path for path in home.rglob("*") if path.is_file() and b"s3cr" in path.read_bytes()]
    assert holders == [home / "secrets" / video.id]
    assert stat.S_IMODE(holders[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(holders[0].parent.stat().st_mode) == 0o700
    remove_video(web_context, video)
    assert not holders[0].exists()


def test_address_names_a_secret_that_is_kept_elsewhere(
    web_context: ServiceContext, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = web_context.settings.home / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "gate").write_text("s3cr/t@#?\n")
    monkeypatch.setenv("LONGWATCH_SECRET_GATE", "s3cr/t@#?")
    for reference in ("{env:LONGWATCH_SECRET_GATE}", f"{{file:{secrets / 'gate'}}}"):
        with open_camera([part], "basic") as camera:
            video = add_source(web_context, camera.address(f"{NAME}:{reference}@"))
            assert source_address(web_context, video) == camera.address()
        assert QUOTED_PASSWORD not in (secrets / video.id).read_text()
    monkeypatch.delenv("LONGWATCH_SECRET_GATE")
    with pytest.raises(InputRefusedError, match="LONGWATCH_SECRET_GATE is not set"):
        add_source(web_context, camera.address(f"{NAME}:{{env:LONGWATCH_SECRET_GATE}}@"))


@pytest.mark.parametrize("reference", ["{env:HOME}", "{file:/etc/passwd}", "{file:secrets/../x}"])
def test_address_takes_no_other_file_or_variable_along(
    web_context: ServiceContext, reference: str
) -> None:
    with pytest.raises(InputRefusedError, match="may not be used"):
        add_source(web_context, f"http://{reference}@127.0.0.1:9/live.ts")


@pytest.mark.parametrize(
    ("source", "refusal"),
    [
        ("rtmp://viewer:s3cret@10.0.0.7/x", InputRefusedError),
        ("viewer:s3cret@10.0.0.7/x", UnreachableError),
    ],
)
def test_mistyped_address_is_refused_without_its_password(
    source: str, refusal: type[LongwatchError]
) -> None:
    with pytest.raises(refusal, match=r"10\.0\.0\.7") as caught:
        list(expand([source]))
    assert "s3cret" not in str(caught.value)
