"""The list of files that make up a saved index: renamed into place whole, so that a kill leaves
the old index or the new one.

    FOLDER/manifest.json        which segments, and which of their chunks were removed since
    FOLDER/<name>.segment       vectors and chunks that were saved together
    FOLDER/<name>.codes         short codes of the vectors of an archive
    FOLDER/<name>.mean.npy      overview of the segment of that name, with <name>.peak.npy
    FOLDER/lock                 held by the one process that saves
    FOLDER/compacting           segments that are written anew, beside the lock of who does
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engine.files import atomic_write_bytes
from engine.index._overview import overview_paths
from engine.records import Fingerprint, VideoId

try:
    import fcntl
except ImportError:  # Windows: two processes that save at once are not kept apart there.
    fcntl = None  # type: ignore[assignment]

FORMAT: Final = 1
COMPACTING: Final = "compacting"
_NAME: Final = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentEntry:
    """One segment of a saved index."""

    name: str
    removed: tuple[int, ...] = ()
    """Chunks of its file that were removed since it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesEntry:
    """The codes of an archive, and what was measured when they were made."""

    n_probe: int
    """Lists that a search looks into."""
    recall: float
    """Share of the ten nearest vectors that codes and re-ranking find, on vectors of the index."""
    scattered_recall: float
    """The same among vectors too far apart to be pictures of one scene."""
    trained_rows: int
    """Rows of the index when the centres of its lists were sought."""
    parts: tuple[str, ...]
    """Files, each of the rows behind those of the one before."""
    next_row: int
    """The rows from here on have no codes yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A saved index."""

    fingerprint: Fingerprint
    next_row: int
    """Numbers of rows below it were given."""
    segments: tuple[SegmentEntry, ...]
    codes: CodesEntry | None = None
    marks: Mapping[VideoId, int] = field(default_factory=dict)
    """What the caller notes of each video."""
    version: str = field(default_factory=lambda: secrets.token_hex(8))
    """Another one for each save: tells whether another process has saved since."""

    @property
    def files(self) -> frozenset[str]:
        """Names of all files of this index, the manifest's own left out."""
        parts = () if self.codes is None else self.codes.parts
        return frozenset((*(entry.name for entry in self.segments), *parts))


def folder_of(path: Path) -> Path:
    """Return the folder of an index that is called `path`."""
    return path.with_name(f"{path.name}.segments")


def saved_facts(folder: Path) -> Manifest | None:
    """Return what is listed of a saved index; `None` where there is none, or it is damaged."""
    try:
        return read_manifest(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_manifest(folder: Path) -> Manifest | None:
    """Return the list of a folder; `None` without one.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged or of another version; so are `KeyError` and `TypeError`.
    """
    try:
        content = json.loads((folder / _NAME).read_bytes())
    except FileNotFoundError:
        return None
    checksum = content.pop("checksum")
    if checksum != _checksum(content):
        raise ValueError("its list of files fails its checksum")
    if content.pop("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    codes = content.pop("codes")
    segments = content.pop("segments")
    return Manifest(
        **content,
        segments=tuple(
            SegmentEntry(name=entry["name"], removed=tuple(entry["removed"])) for entry in segments
        ),
        codes=None if codes is None else _codes_entry(codes),
    )


def _codes_entry(written: Mapping[str, Any]) -> CodesEntry | None:
    if "scattered_recall" not in written:
        # Before the two were told apart codes that failed by the one were not made: try again.
        if not written["parts"]:
            return None
        written = {"scattered_recall": written["recall"], **written}
    return CodesEntry(**{**written, "parts": tuple(written["parts"])})


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put a list in place of the one before, for good.

    Raises:
        OSError: It cannot be written.
    """
    content = {"format": FORMAT, **json.loads(json.dumps(asdict(manifest)))}
    document = {**content, "checksum": _checksum(content)}
    atomic_write_bytes(folder / _NAME, json.dumps(document).encode())


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep other processes from saving into a folder meanwhile.

    Raises:
        OSError: The folder cannot be written to.
    """
    with locked(folder / "lock"):
        yield


@contextmanager
def locked(path: Path, *, waits: bool = True) -> Iterator[bool]:
    """Hold a lock file; yield whether it is held, which it is unless another process has it.

    Args:
        path: In a folder that exists.
        waits: Until another process gives it back.
    Raises:
        OSError: The file cannot be written to.
    """
    with path.open("wb") as lock:
        is_held = True
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            except BlockingIOError:
                is_held = False
        yield is_held


def sweep(folder: Path, manifest: Manifest) -> None:
    """Delete what no list names any more; who has it mapped keeps it."""
    kept = {*manifest.files, _NAME, "lock", COMPACTING, f"{COMPACTING}.lock"}
    for entry in manifest.segments:
        kept |= {path.name for path in overview_paths(folder / entry.name)}
    for path in folder.iterdir():
        if path.name not in kept:
            with suppress(OSError):
                path.unlink()


def _checksum(content: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
