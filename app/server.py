"""The web app in one process: FastAPI is the product, Gradio draws the pages, a thread works.

uvicorn -> AccessLogMiddleware -> AuthMiddleware -> BodyLimitMiddleware
    -> FastAPI: /api/v1, /v1, /media, /docs, health
    `-> Gradio at /ui: pages and their files
         worker thread: ingest, previews, probes (app/worker/worker.py)
"""

import atexit
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
import anyio.to_thread
import uvicorn
from anyio.from_thread import BlockingPortal
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp

from app.api import (
    alerts,
    ask,
    cameras,
    capacity,
    days,
    jobs,
    media,
    models,
    moments,
    needles,
    nodes,
    observations,
    openai,
    probes,
    uploads,
    users,
    verdicts,
    videos,
)
from app.api import settings as settings_routes
from app.api.access_log import AccessLogMiddleware
from app.api.assets import serve_assets
from app.api.auth import LOOPBACK, AuthMiddleware, SessionService
from app.api.body_limit import BodyLimitMiddleware, HeaderTimeoutProtocol
from app.api.brand import assets_path
from app.api.deps import AppContext
from app.api.docs import install_docs
from app.api.errors import install_error_handlers
from app.api.health import router as health
from app.api.model_queue import ModelQueue
from app.api.openapi import (
    DESCRIPTION,
    DOCUMENT_URL,
    SIGNED_IN,
    TAGS,
    install_openapi,
    operation_id,
)
from app.api.sign_in import router as sign_in
from app.config.engine_config import require_model
from app.config.settings import Settings
from app.ipc.server import CommandServer
from app.schemas.services import ServeResponse
from app.services.context import ServiceContext
from app.services.filming_jobs import enqueue_all_filming
from app.services.library import finish_removals
from app.services.objects import objects_loop
from app.services.previews import enqueue_missing_previews
from app.services.retention import retention_loop
from app.services.servers import beside_others, takes_turn
from app.services.uploads import PartLocks, finish_uploads
from app.version import product_version
from app.worker.alerts import alerts_running
from app.worker.handlers import open_worker
from app.worker.worker import Worker
from engine.errors import SettingsError, UnreachableError
from storage.records import UserId

_log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 500
"""Connections at a time, below the 1024 files that a process may usually open; the next ones are
answered with status 503."""
START_S: Final = 30.0
"""Seconds in which a second server that starts leaves the tidying to the first."""
FINISH_S: Final = 20
"""Seconds that requests which go on have once the server is told to stop; whoever takes a video at
the pace of its playback would otherwise keep the jobs of this process from being handed back."""
HAND_BACK_S: Final = 20.0
"""Seconds in which jobs are handed back behind that."""
OPEN_ROUTERS: Final = (health, sign_in, nodes.router)
"""Routes that ask for no session, but for `/metrics`, which says so itself; those of other servers
ask for a signature."""
ROUTERS: Final = (
    media.router,
    uploads.router,
    videos.router,
    cameras.router,
    moments.router,
    days.router,
    observations.router,
    ask.router,
    verdicts.router,
    probes.router,
    needles.router,
    jobs.router,
    alerts.router,
    users.router,
    settings_routes.router,
    models.router,
    capacity.router,
    openai.router,
)


def serve(
    settings: Settings,
    *,
    host: str | None = None,
    port: int | None = None,
    with_worker: bool = True,
    announce: Callable[[ServeResponse], None] = lambda document: None,
) -> None:
    """Run until interrupted.

    Args:
        settings: Where the library lies and what is allowed.
        host: Where to listen; the setting when `None`.
        port: Likewise; 0 takes a free one.
        with_worker: Whether to run jobs here, or leave them to `longwatch worker`.
        announce: Hears where it listens, with the one-time sign-in link, which no log gets.
    Raises:
        NotFoundError: The model is none, and cannot be pulled either.
        SettingsError: Another address than loopback without an account to sign in with.
        UnreachableError: The port is taken.
        ReadOnlyError: The library cannot be written to: sign-ins and questions are kept.
    """
    require_model(settings)
    host = host or settings.server.host
    services = ServiceContext(settings)
    try:
        services.catalog.check_writable()
        secret = prepare_accounts(services, is_local=host in LOOPBACK)
        listener = _listen(host, settings.server.port if port is None else port)
        with listener:
            app = create_app(
                services,
                is_local=host in LOOPBACK,
                with_worker=with_worker,
                with_commands=True,
            )
            address = f"http://{_bracketed(host)}:{listener.getsockname()[1]}"
            _log.info(
                "serving %s: version %s, model %s, home %s, database %s, %s",
                address,
                product_version(),
                settings.model,
                settings.home,
                services.catalog.where,
                "with a worker" if with_worker else "without a worker",
            )
            announce(
                ServeResponse(
                    address=address,
                    sign_in_link=None if secret is None else f"{address}/sign-in?token={secret}",
                    home=str(settings.home),
                    model=settings.model,
                    version=product_version(),
                    with_worker=with_worker,
                )
            )
            uvicorn.Server(uvicorn_config(app, settings)).run(sockets=[listener])
    finally:
        services.close()


def uvicorn_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return how the server is run: its log is ours, and proxies are those of the settings."""
    proxies = [str(network) for network in settings.server.trusted_proxies]
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=HeaderTimeoutProtocol,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=FINISH_S,
        # Left to itself, uvicorn believes whatever 127.0.0.1 says about a client's address.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
    )


def prepare_accounts(services: ServiceContext, *, is_local: bool) -> str | None:
    """Make sure that an admin can sign in, and nobody else.

    Returns:
        The secret of a one-time link, as long as no admin has a password.
    Raises:
        SettingsError: Not on loopback, and nobody has a password.
    """
    if os.environ.get("GRADIO_VIBE_MODE"):
        raise SettingsError(
            "GRADIO_VIBE_MODE is set: it lets any visitor run code", hint="unset it and try again"
        )
    accounts = services.catalog.accounts
    users = accounts.users()
    if not is_local and not any(user.password_hash for user in users):
        raise SettingsError(
            "others can reach this address, and no account has a password",
            hint="create one: `longwatch user add NAME --role admin`",
        )
    admins = [user for user in users if user.role == "admin"]
    if any(user.password_hash for user in admins):
        return None
    user = admins[0] if admins else accounts.add_user("admin", "admin")
    return SessionService(services.catalog, clock=time.monotonic).issue_link(user)


def create_app(
    services: ServiceContext,
    *,
    is_local: bool,
    with_worker: bool = False,
    with_pages: bool = True,
    with_commands: bool = False,
) -> ASGIApp:
    """Return the application, with the middleware around it.

    Args:
        is_local: Whether to answer to loopback names alone.
        with_worker: Whether to run jobs while the application runs.
        with_pages: Whether the web app is mounted beside the API.
        with_commands: Whether commands of the same library are run here (`app/ipc`).
    """
    sessions = SessionService(services.catalog, clock=time.monotonic)
    app = FastAPI(
        title="Longwatch",
        description=DESCRIPTION,
        version="1",
        openapi_url=DOCUMENT_URL,
        openapi_tags=[*TAGS],
        generate_unique_id_function=operation_id,
        docs_url=None,
        redoc_url=None,
        lifespan=_commands_lifespan if with_commands else _lifespan,
    )
    app.state.context = AppContext(
        services=services,
        sessions=sessions,
        model_queue=ModelQueue(
            services.settings.limits.queued_questions,
            turn_s=lambda: services.settings.limits.turn_s,
            shares_steps=lambda: services.shares_steps,
        ),
        with_worker=with_worker,
        parts=PartLocks(services),
    )
    install_error_handlers(app)
    for router in OPEN_ROUTERS:
        app.include_router(router)
    for router in ROUTERS:
        app.include_router(router, dependencies=[*SIGNED_IN])
    install_openapi(app)
    install_docs(app)
    files = serve_assets()
    for address in (assets_path(), "/assets"):
        app.mount(address, files)
    app.get("/", include_in_schema=False)(_home)
    if with_pages:
        _mount_pages(app, app.state.context)
    bounded = BodyLimitMiddleware(app)
    gate = AuthMiddleware(
        bounded,
        sessions,
        hosts=LOOPBACK if is_local else None,
        media_origin=app.state.context.settings.objects.signed_origin,
    )
    return AccessLogMiddleware(gate)


async def _home() -> RedirectResponse:
    return RedirectResponse("/ui/")


def _mount_pages(app: FastAPI, context: AppContext) -> None:
    # Gradio reads these when it is imported: nothing is sent, nothing is kept in the browser.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    # Figures of every event that nobody asks for here: a table of 10,000 rows, made anew each time.
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(2**31))
    # What pages are sent lies in a folder of this process until its end: that which Gradio would
    # take is one for all users of the machine.
    if not os.environ.get("GRADIO_TEMP_DIR"):
        folder = os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="longwatch-pages-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Late: Gradio reads the environment above when it is imported.
    from app.ui.gradio_import import import_gradio

    import_gradio()
    # Late: it imports Gradio too.
    from app.ui.site import mount_pages

    mount_pages(app, "/ui", context)


_TERMINAL = UserId("terminal")
"""Whoever asks from a terminal of this machine: one user among the others in the queue."""


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: AppContext = app.state.context
    # Of servers that start together one looks after what earlier ones left.
    if takes_turn(context.services, "start", lease_s=START_S):
        finish_removals(context.services)
        finish_uploads(context.services, context.parts)
    if not context.with_worker:
        with beside_others(context.services), objects_loop(context.services):
            yield
        return
    if takes_turn(context.services, "start of work", lease_s=START_S):
        enqueue_missing_previews(context.services)
        enqueue_all_filming(context.services)
    with (
        beside_others(context.services),
        retention_loop(context.services),
        objects_loop(context.services),
        alerts_running(context.services),
        _working(open_worker(context.services)),
    ):
        yield


@asynccontextmanager
async def _commands_lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run commands of terminals while the application runs; questions wait with all others."""
    context: AppContext = app.state.context
    async with _lifespan(app), BlockingPortal() as portal:
        commands = CommandServer(
            context.services,
            model_turn=lambda: portal.wrap_async_context_manager(
                context.model_queue.slot(_TERMINAL)
            ),
            with_worker=context.with_worker,
        )
        await anyio.to_thread.run_sync(commands.start)
        try:
            yield
        finally:
            # In a thread: a command may be waiting for its turn, which this loop gives it.
            await anyio.to_thread.run_sync(commands.close)


@contextmanager
def _working(worker: Worker) -> Iterator[None]:
    thread = threading.Thread(target=worker.run, name="worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        # What is not handed back in time is taken over from the last committed chunk.
        thread.join(timeout=HAND_BACK_S)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UnreachableError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --port"
        ) from error
    return listener


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
