"""Report of what this machine can do: versions, accelerator, decoders, space, what is missing.

Nothing here fails when a part is absent: absence is the finding, with how to get it.
"""

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from pathlib import Path
from typing import Literal

from app.errors import hint_for
from app.schemas.doctor import DoctorResponse
from app.schemas.doctor import FindingItem as Finding
from app.services.context import ServiceContext
from app.services.objects import show_status
from app.services.observations import missing_parts
from app.services.orphans import find_orphans
from app.services.status import count_library
from engine.errors import LongwatchError
from engine.plural import counted
from storage.files import HomeFolder

PACKAGES = (
    "longwatch",
    "torch",
    "transformers",
    "av",
    "gradio",
    "sqlalchemy",
    "opencv-python-headless",
    "numpy",
)
DECODERS = ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "aac", "opus")
MOST_ORPHANS = 5
"""Paths without an owner that are named."""
MIN_FREE_BYTES = 2 * 1024**3
"""Below this an ingest soon runs into a full disk: an hour at the 7B size keeps 3.7 GB."""


def examine(context: ServiceContext) -> DoctorResponse:
    """Look at everything; takes a few seconds because torch is imported."""
    home = context.settings.home
    findings = (
        Finding(name="python", state="ok", detail=f"{platform.python_version()} {sys.executable}"),
        Finding(name="system", state="ok", detail=platform.platform()),
        *(_package(name) for name in PACKAGES),
        *_accelerator(),
        _faiss(),
        *_shared_index(context),
        *_indexes(home),
        _decoders(),
        *_observers(context),
        _memory(),
        _disk(home),
        *_server(context),
        *_library(context),
        *_objects(context),
    )
    return DoctorResponse(findings=list(findings))


def _package(name: str) -> Finding:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        hint = f"pip install {name}"
        return Finding(name=name, state="missing", detail="not installed", hint=hint)
    return Finding(name=name, state="ok", detail=version)


def _accelerator() -> tuple[Finding, ...]:
    import torch

    if not torch.cuda.is_available():
        has_driver = shutil.which("nvidia-smi") is not None
        no_gpu = "no CUDA device: everything runs on the CPU"
        hint = None
        if has_driver and torch.version.cuda is None:
            no_gpu = f"there is an NVIDIA driver, but torch {torch.__version__} is a build for CPUs"
            hint = "pip install --force-reinstall 'torch>=2.13'"
        elif has_driver:
            no_gpu = f"the NVIDIA driver does not speak the CUDA {torch.version.cuda} of torch"
            hint = (
                "a newer driver, or a torch of --index-url https://download.pytorch.org/whl/cu126"
            )
        threads = f"{counted(torch.get_num_threads(), 'thread')}, torch {torch.__version__}"
        return (
            Finding(name="gpu", state="warning", detail=no_gpu, hint=hint),
            Finding(name="compute", state="ok", detail=threads),
            Finding(name="attention", state="ok", detail="scaled dot product attention of torch"),
        )
    free_bytes, total_bytes = torch.cuda.mem_get_info()
    flash = importlib.util.find_spec("flash_attn") is not None
    return (
        Finding(
            name="gpu",
            state="ok",
            detail=(
                f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, "
                f"{free_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB free"
            ),
        ),
        Finding(
            name="attention",
            state="ok",
            detail=(
                "flash-attn where it is faster, else that of torch"
                if flash
                else "scaled dot product attention of torch"
            ),
        ),
    )


def _faiss() -> Finding:
    if importlib.util.find_spec("faiss") is None:
        return Finding(
            name="faiss", state="missing", detail="not installed", hint="pip install faiss-cpu"
        )
    import faiss

    from engine.index._codes import n_gpus

    use = "no GPU: centres of lists are sought on the CPU"
    if n_gpus():
        use = f"{counted(n_gpus(), 'GPU')}: centres of lists are sought there, searches stay here"
    return Finding(name="faiss", state="ok", detail=f"{faiss.__version__}, {use}")


def _shared_index(context: ServiceContext) -> tuple[Finding, ...]:
    """Say whether vectors lie in the database, how they are searched there, or why they do not."""
    if context.settings.database_url is None and context.settings.retrieval.index is None:
        return ()
    # Late: the configuration of an engine.
    from app.config.index_choice import SHARED

    try:
        choice = context.index_choice
        sets = () if choice.tables is None else choice.tables.sets()
    except LongwatchError as error:
        return (Finding(name="vectors", state="warning", detail=str(error), hint=hint_for(error)),)
    if choice.backend != SHARED:
        place = f"in files of this machine ({choice.backend}): {choice.reason}"
        state: Literal["ok", "warning"] = "warning" if choice.hint else "ok"
        return (Finding(name="vectors", state=state, detail=place, hint=choice.hint),)
    findings = [Finding(name="vectors", state="ok", detail=f"in {choice.reason}")]
    for row in sets:
        how = "every vector of a scope is looked at, so results are exact"
        if row.index.is_there:
            how = (
                "of the ten nearest chunks the graph finds "
                f"{row.index.recall:.1%}, measured on vectors of this index"
            )
        elif row.index.n_chunks:
            how += f" (a graph would find {row.index.recall:.0%} of the ten nearest chunks)"
        size = f"{row.fingerprint}: {counted(row.n_chunks, 'chunk')} of {row.dim} components"
        findings.append(Finding(name="index", state="ok", detail=f"{size}; {how}"))
    return tuple(findings)


def _indexes(home: Path) -> tuple[Finding, ...]:
    """Say of each index how it is searched, and why."""
    # Late: FAISS.
    from engine.index._manifest import saved_facts

    findings = []
    for path in sorted(HomeFolder(home).index.glob("*.segments")):
        facts = saved_facts(path)
        if facts is None:
            findings.append(
                Finding(
                    name="index",
                    state="warning",
                    detail=f"{path.name} is damaged and is built again at the next question",
                )
            )
            continue
        n_bytes = sum(file.stat().st_size for file in path.glob("*.segment"))
        size = f"{path.stem}: {n_bytes / 1e6:.0f} MB in {counted(len(facts.segments), 'segment')}"
        how = "every vector is looked at, so results are exact"
        if facts.codes is not None and not facts.codes.parts:
            how += f" (codes would find {facts.codes.recall:.0%} of the ten nearest)"
        elif facts.codes is not None:
            how = (
                f"codes propose rows in {counted(facts.codes.n_probe, 'list')}, exact vectors "
                f"decide; of the ten nearest {facts.codes.recall:.1%} are found, measured on "
                "vectors of this index"
            )
        findings.append(Finding(name="index", state="ok", detail=f"{size}; {how}"))
    return tuple(findings)


def _decoders() -> Finding:
    from av.codec import codecs_available

    from engine.media.formats import FFMPEG_FLOOR, ffmpeg_release

    absent = [name for name in DECODERS if name not in codecs_available]
    if absent:
        return Finding(
            name="decoders",
            state="warning",
            detail=f"no {', '.join(absent)}",
            hint="pip install --force-reinstall av brings FFmpeg with all of them",
        )
    release = ffmpeg_release()
    shown = f"FFmpeg {'.'.join(map(str, release)) or 'of an unknown release'}"
    if release < FFMPEG_FLOOR:
        floor = ".".join(map(str, FFMPEG_FLOOR))
        return Finding(
            name="decoders",
            state="warning",
            detail=f"{shown} is older than {floor}, whose decoders are the oldest that are trusted",
            hint="pip install --upgrade av",
        )
    return Finding(name="decoders", state="ok", detail=f"{shown}: {', '.join(DECODERS)}")


def _observers(context: ServiceContext) -> tuple[Finding, ...]:
    missing = missing_parts(context.settings)
    return tuple(
        Finding(
            name=f"observer {name}",
            state="missing" if name in missing else "ok",
            detail=missing.get(name, "ready"),
        )
        for name in context.settings.sight.observers
    )


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    return Finding(
        name="memory",
        state="ok",
        detail=f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
    )


def _disk(home: Path) -> Finding:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free_bytes = shutil.disk_usage(existing).free
    low = free_bytes < MIN_FREE_BYTES
    if home.exists() and home.stat().st_mode & 0o077:
        return Finding(
            name="home",
            state="warning",
            detail=f"{home} can be entered by other users, {free_bytes / 1e9:.1f} GB free",
            hint=f"chmod 700 {home}, unless others are meant to use the library",
        )
    return Finding(
        name="home",
        state="warning" if low else "ok",
        detail=f"{home}, {free_bytes / 1e9:.1f} GB free",
        hint="free space or choose another folder with LONGWATCH_HOME" if low else None,
    )


def _server(context: ServiceContext) -> tuple[Finding, ...]:
    """Return how the database server is; nothing where the database is a file."""
    if context.settings.database_url is None:
        return ()
    try:
        where, server = context.catalog.where, context.catalog.server()
    except LongwatchError as error:
        return (Finding(name="database", state="missing", detail=str(error), hint=hint_for(error)),)
    if server is None:
        return (Finding(name="database", state="ok", detail=where),)
    detail = (
        f"PostgreSQL {server.version} at {where}, {server.size_bytes / 1e6:.1f} MB, "
        f"{server.n_connections} of {server.most_connections} connections"
    )
    troubles = []
    if server.is_read_only:
        troubles.append("it can only be read: connect to the primary server")
    if server.n_connections > 0.8 * server.most_connections:
        troubles.append("raise max_connections, or run fewer processes")
    return (
        Finding(
            name="database",
            state="warning" if troubles else "ok",
            detail=detail,
            hint="; ".join(troubles) or None,
        ),
    )


def _objects(context: ServiceContext) -> tuple[Finding, ...]:
    """Say whether the object store answers, where one is configured."""
    if context.settings.objects.url is None:
        return ()
    try:
        status = show_status(context)
    except LongwatchError as error:
        detail, hint = error.message, hint_for(error)
        return (Finding(name="objects", state="warning", detail=detail, hint=hint),)
    if status.trouble is not None:
        detail = f"{status.trouble}; {counted(status.not_stored, 'file')} here not there yet"
        return (Finding(name="objects", state="warning", detail=detail),)
    n_objects = sum(tree.objects for tree in status.trees)
    n_bytes = sum(tree.bytes for tree in status.trees)
    detail = f"{status.url} answers: {counted(n_objects, 'object')}, {n_bytes / 1e6:.1f} MB"
    if not status.not_stored and not status.leaving:
        return (Finding(name="objects", state="ok", detail=detail),)
    detail += f"; {status.not_stored} files not there yet, {status.leaving} to be deleted there"
    hint = "a server or worker sees to it; `longwatch objects push` does it now"
    return (Finding(name="objects", state="warning", detail=detail, hint=hint),)


def _library(context: ServiceContext) -> tuple[Finding, ...]:
    """Return what is damaged in the library, and what lies about in its folder."""
    is_file = context.settings.database_url is None
    if is_file and not HomeFolder(context.settings.home).database.exists():
        return ()
    try:
        damaged = [row for row in context.catalog.videos.list() if row.is_damaged]
        orphans = find_orphans(context)
        counts = count_library(context)
    except LongwatchError as error:
        return (Finding(name="library", state="warning", detail=str(error), hint=hint_for(error)),)
    findings = [
        Finding(
            name="library",
            state="warning",
            detail=f"{row.name}: {row.failure.message}",
            hint=row.failure.hint,
        )
        for row in damaged
        if row.failure is not None
    ]
    latents, stills = counts.latent_bytes / 1e6, counts.still_bytes / 1e6
    sizes = f"{latents:.1f} MB of latents, {stills:.1f} MB of stills"
    findings.append(Finding(name="storage", state="ok", detail=sizes))
    if orphans:
        n_bytes = sum(orphan.n_bytes for orphan in orphans)
        listed = ", ".join(str(orphan.path) for orphan in orphans[:MOST_ORPHANS])
        findings.append(
            Finding(
                name="orphans",
                state="warning",
                detail=f"{len(orphans)} without an owner, {n_bytes / 1e6:.1f} MB: {listed}",
                hint="`longwatch videos reindex` takes back videos; delete what is not wanted",
            )
        )
    return tuple(findings)
