"""A server with a library of two small videos, an admin, and a viewer who may see one of them."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.testclient import TestClient
from starlette.types import ASGIApp

from app.api.auth import CSRF_HEADER, Principal, SessionService
from app.api.deps import AppContext
from app.api.model_queue import ModelQueue
from app.config.settings import load_settings
from app.server import create_app
from app.services.context import ServiceContext
from app.services.credentials import hash_password
from app.worker.foreground import ingest_now
from engine.media.encode import write_video
from engine.models.video_xl.model import write_tiny
from engine.records import VideoId
from engine.synthetic.story import draw_story

ADDRESS = "http://127.0.0.1:7860"
PASSWORD = "correct horse battery"
SECONDS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running server and the people who use it."""

    app: ASGIApp
    services: ServiceContext
    gate: VideoId
    """The viewer may see it."""
    yard: VideoId
    """Only the admin may."""
    anonymous: TestClient
    viewer: TestClient
    admin: TestClient

    @property
    def app_context(self) -> AppContext:
        """What handlers of pages are given."""
        return AppContext(
            services=self.services,
            sessions=SessionService(self.services.catalog, clock=time.monotonic),
            model_queue=ModelQueue(8, turn_s=lambda: 1.0),
            with_worker=False,
        )

    def principal(self, name: str) -> Principal:
        """A signed-in user."""
        accounts = self.services.catalog.accounts
        user = accounts.user(name)
        assert user is not None
        granted = None if user.role == "admin" else accounts.granted(user.id)
        return Principal(user=user, csrf="token", granted=granted)


def draw_clip(path: Path, *, seed: int, seconds: int = SECONDS) -> Path:
    """A small drawn recording, four frames a second."""
    fps = 4.0
    story = draw_story(seed, seconds, fps, height_px=90, width_px=160)
    write_video(path, (story.frame(place / fps) for place in range(round(seconds * fps))), fps)
    return path


def open_library(home: Path, **flags: object) -> ServiceContext:
    """Open a library over the tiny model in `home`."""
    model = home / "tiny"
    if not model.is_dir():
        write_tiny(model)
    settings = {
        "model": str(model),
        "limits.disk_reserve_bytes": "1MB",
        "limits.answer_tokens": 8,
        "sampling.thin_static": False,
        **flags,
    }
    return ServiceContext(load_settings(settings, home=home, folder=home))


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A home folder with two videos, two users and a session of each, to be copied."""

    home: Path
    gate: VideoId
    yard: VideoId
    sessions: Mapping[str, "Session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a browser keeps of a sign-in."""

    cookies: Mapping[str, str]
    csrf: str


def make_library(home: Path) -> Library:
    """Read two recordings into a new home, with `ada`, an admin, and `vera`, who may see one."""
    services = open_library(home)
    gate = ingest_now(services, [str(draw_clip(home / "gate.mp4", seed=1))]).videos[0]
    yard = ingest_now(services, [str(draw_clip(home / "yard.mp4", seed=2))]).videos[0]
    accounts = services.catalog.accounts
    hashed = hash_password(PASSWORD)
    accounts.add_user("ada", "admin", password_hash=hashed)
    viewer = accounts.add_user("vera", "viewer", password_hash=hashed)
    accounts.grant(viewer.id, VideoId(gate.video_id))
    services.engine.save_index()
    app = create_app(services, is_local=True, with_pages=False)
    sessions = {}
    for name in ("ada", "vera"):
        client = sign_in(app, name)
        sessions[name] = Session(cookies=dict(client.cookies), csrf=client.headers[CSRF_HEADER])
    services.close()
    return Library(
        home=home, gate=VideoId(gate.video_id), yard=VideoId(yard.video_id), sessions=sessions
    )


@contextmanager
def open_site(library: Library, home: Path, *, with_pages: bool = False) -> Iterator[Site]:
    """A server over a copy of a library, without a worker; requests go straight in.

    Args:
        library: Copied, so that a test may change whatever it likes.
        home: Where the copy goes; must not exist.
        with_pages: Whether Gradio's pages are mounted, which takes most of a second.
    """
    shutil.copytree(library.home, home)
    services = open_library(home)
    app = create_app(services, is_local=True, with_pages=with_pages)
    # One event loop for the admin's requests, so that they can be made at the same time.
    with TestClient(app, base_url=ADDRESS, follow_redirects=False) as admin:
        _take_up(admin, library.sessions["ada"])
        viewer = TestClient(app, base_url=ADDRESS, follow_redirects=False)
        _take_up(viewer, library.sessions["vera"])
        yield Site(
            app=app,
            services=services,
            gate=library.gate,
            yard=library.yard,
            anonymous=TestClient(app, base_url=ADDRESS),
            viewer=viewer,
            admin=admin,
        )
    services.close()


def _take_up(client: TestClient, session: Session) -> None:
    client.cookies.update(session.cookies)
    client.headers[CSRF_HEADER] = session.csrf


def sign_in(app: ASGIApp, name: str) -> TestClient:
    """A client with a cookie, and the token that state changes need."""
    client = TestClient(app, base_url=ADDRESS, follow_redirects=False)
    enter(client, name)
    return client


def enter(client: TestClient, name: str) -> None:
    """Sign a client in."""
    answer = client.post("/sign-in", data={"name": name, "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    client.headers[CSRF_HEADER] = client.get("/api/v1/session").json()["csrf"]
