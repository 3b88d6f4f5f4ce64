"""One file of stills: a ZIP of JPEGs that describes itself.

    stills.json                          of which chunk, when, and until when the last is shown
    0000_0.000s.jpg, 0001_1.000s.jpg     in time order

*Decision*: a plain ZIP, stored without compression. *Because* any tool opens it, each picture has
a CRC of its own, and one picture is read without the others. The bytes depend on nothing but the
stills, so that an ingest that was killed and resumed leaves the same files.
"""

import errno
import functools
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import CorruptStillsError, UnreachableError
from engine.records import VideoId

FORMAT = 1
"""Version of the file; readers refuse what they do not know."""

_HEADER = "stills.json"
# A member needs a date, and a date of its own would change the bytes; the earliest of the format.
_DATE = (1980, 1, 1, 0, 0, 0)
# About 9 MB. A lookup reads the headers of a few chunks, over and over the same ones.
_HEADERS_KEPT = 16384
# Raised by zipfile for one flipped byte or another.
_DAMAGE = (
    zipfile.BadZipFile,
    KeyError,
    RuntimeError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StillsHeader:
    """The facts that a file of stills states about itself."""

    format: int
    video: VideoId
    ordinal: int
    reading: str
    """Fingerprint of the pipeline that sampled the frames; empty where nobody said."""
    end_s: float
    """End of what the last still stands for."""
    times_s: tuple[float, ...]


def pack_stills(header: StillsHeader, jpegs: Sequence[bytes]) -> bytes:
    """Return the file of a chunk, the same bytes for the same stills."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        # Python's floats are written with as many digits as tell them from their neighbours.
        facts = json.dumps(asdict(header), sort_keys=True)
        archive.writestr(zipfile.ZipInfo(_HEADER, _DATE), facts)
        for index, (time_s, jpeg) in enumerate(zip(header.times_s, jpegs, strict=True)):
            archive.writestr(zipfile.ZipInfo(_member_name(index, time_s), _DATE), jpeg)
    return content.getvalue()


@functools.lru_cache(maxsize=_HEADERS_KEPT)
def read_header(path: Path, changed_at_ns: int, n_bytes: int) -> StillsHeader:
    """Read a file's header; headers that were read are kept in memory.

    Args:
        path: Of the file.
        changed_at_ns: Its modification time; with its size it tells the file from an earlier one.
        n_bytes: Its size.
    Raises:
        CorruptStillsError: Damaged, or of another format.
    """
    with _opened(path) as archive:
        try:
            facts: dict[str, Any] = json.loads(archive.read(_HEADER))
            version = facts["format"]
            if version != FORMAT:
                raise CorruptStillsError(
                    str(path), f"format {version}; this version reads {FORMAT}"
                )
            times_s = tuple(map(float, facts["times_s"]))
            if not times_s:
                raise ValueError("it holds no stills")
            return StillsHeader(**{**facts, "times_s": times_s})
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptStillsError(str(path), "its header is not one of ours") from error


def read_jpeg(path: Path, header: StillsHeader, index: int) -> bytes:
    """Read the still at a position of a file as JPEG.

    Raises:
        CorruptStillsError: It fails its CRC.
    """
    with _opened(path) as archive:
        return archive.read(_member_name(index, header.times_s[index]))


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a chunk's file; whatever a damaged one raises is a `CorruptStillsError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise CorruptStillsError(str(path), "the file is missing") from error
    except _DAMAGE as error:
        raise CorruptStillsError(str(path), f"not a readable archive ({error})") from error
    except OSError as error:
        # A damaged offset leads before the beginning of the file.
        if error.errno == errno.EINVAL:
            raise CorruptStillsError(str(path), "not a readable archive") from error
        raise UnreachableError(f"{path}: cannot be read ({error.strerror})") from error


def _member_name(index: int, pts_s: float) -> str:
    """Return the name of a still in its archive; the number keeps two of one millisecond apart."""
    return f"{index:04d}_{pts_s:.3f}s.jpg"
