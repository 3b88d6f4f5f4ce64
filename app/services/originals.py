"""Originals of videos: here, in the object store, or both.

Whoever decodes one holds it: decoders run sandboxed over a local file, which must not be evicted
meanwhile. A file that was added from elsewhere on the disk stays where it is, and is never evicted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.services.context import ServiceContext
from engine.errors import NotFoundError, UnreachableError
from engine.media.address import is_live_uri
from storage.files import HomeFolder
from storage.records import VideoRow


def original_path(context: ServiceContext, row: VideoRow) -> Path:
    """Return where the original of a video lies on this machine, whether it is there or not."""
    return HomeFolder(context.settings.home).local(row.uri)


def is_stored(context: ServiceContext, path: Path) -> bool:
    """Tell whether the object store has a file of the home folder."""
    objects = context.objects
    if objects is None or not path.is_relative_to(context.settings.home):
        return False
    return path.name in objects.files(path.parent)


def has_original(context: ServiceContext, row: VideoRow) -> bool:
    """Tell whether the original of a video can be read, here or from the object store."""
    if is_live_uri(row.uri):
        return False
    path = original_path(context, row)
    return path.is_file() or is_stored(context, path)


def check_original(context: ServiceContext, row: VideoRow) -> Path:
    """Return where an original lies, or would lie as a copy.

    Raises:
        NotFoundError: A live source, which keeps none.
        UnreachableError: It is neither here nor in the store.
    """
    if is_live_uri(row.uri):
        raise NotFoundError(f"{row.name} is a live source: of this moment nothing is kept")
    path = original_path(context, row)
    if not path.is_file() and not is_stored(context, path):
        raise UnreachableError(
            f"the file of {row.name} is gone", hint="answers and search work without it"
        )
    return path


@contextmanager
def held_original(context: ServiceContext, row: VideoRow) -> Iterator[Path]:
    """Keep the original of a video on this machine while the body runs; it is fetched if need be.

    Raises:
        NotFoundError: A live source, which keeps none.
        UnreachableError: It is neither here nor can it be fetched.
        CorruptFileError: What the store holds is not what was put there.
    """
    with held_file(context, check_original(context, row)) as path:
        yield path


@contextmanager
def held_file(context: ServiceContext, path: Path) -> Iterator[Path]:
    """Keep a file on this machine while the body runs; it is fetched if only the store has it.

    A file that is nowhere is no error here, but of whoever opens it.

    Raises:
        UnreachableError: It cannot be fetched.
        CorruptFileError: What the store holds is not what was put there.
    """
    objects = context.objects
    if objects is None or not is_stored(context, path):
        yield path
        return
    with objects.hold(path):
        yield path
