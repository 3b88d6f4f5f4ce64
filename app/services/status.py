"""The state of a server in figures: whether it can answer, and what it counts."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.config.engine_config import find_model
from app.services.context import ServiceContext
from engine.errors import CorruptLatentsError, LongwatchError


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryCounts:
    """Sums over the rows of a library."""

    videos: Mapping[str, int]
    """By status."""
    jobs: Mapping[tuple[str, str], int]
    """By kind and state."""
    n_chunks: int
    latent_bytes: int
    still_bytes: int
    ingested_s: float


def check_ready(context: ServiceContext) -> dict[str, str]:
    """Return `ok`, or the code of the error, for everything that an answer needs.

    `latents` is `corrupt_latents` while damaged chunks wait to be read again.
    """
    checks: dict[str, Callable[[], object]] = {
        "database": lambda: context.catalog.jobs.list("running"),
        "model": lambda: find_model(context.settings.model, context.settings),
    }
    states = {}
    for name, check in checks.items():
        try:
            check()
            states[name] = "ok"
        except LongwatchError as error:
            states[name] = error.code
    if states["database"] == "ok":
        states["latents"] = CorruptLatentsError.code if context.has_damage() else "ok"
    return states


def is_ready(states: Mapping[str, str]) -> bool:
    """Tell whether questions can be answered; damaged chunks are left out of the answers."""
    return all(state == "ok" for name, state in states.items() if name != "latents")


def count_library(context: ServiceContext) -> LibraryCounts:
    """Return the sums over all videos and jobs."""
    rows = context.catalog.videos.list()
    return LibraryCounts(
        videos=Counter(row.status for row in rows),
        jobs=Counter((job.kind, job.state) for job in context.catalog.jobs.list()),
        n_chunks=sum(row.n_chunks for row in rows),
        latent_bytes=sum(row.latent_bytes for row in rows),
        still_bytes=context.stills.used_bytes(),
        ingested_s=sum(row.ingested_s for row in rows),
    )
