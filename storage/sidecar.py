"""The row of a video as a file beside its latents, from which a lost row is rebuilt.

Decision: in the folder of the reading, so that it comes and goes with the latents it describes.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from engine.errors import DiskFullError, UnreachableError
from engine.files import atomic_write_bytes, is_out_of_space, make_folder
from engine.records import Fingerprint, MediaInfo, SampleStats, VideoId
from storage.files import HomeFolder
from storage.records import Failure, FileContent, VideoRow

FORMAT: Final = 1
"""Version of the file; readers pass over what they do not know."""

_KEPT = (
    "id",
    "name",
    "uri",
    "identity",
    "status",
    "fingerprint",
    "model",
    "sample_fps",
    "compression_ratio",
    "n_chunks",
    "latent_bytes",
    "ingested_s",
    "wall_s",
)
_CLOCK = (
    "start_source",
    "start_is_local",
    "timezone",
    "file_name",
    "video_track",
    "has_grown",
    "camera",
)
"""Not in files of earlier versions, whose clocks were all set by a user."""
_LISTS = ("warnings", "tags")

_log = logging.getLogger(__name__)


def write_sidecar(home: HomeFolder, row: VideoRow) -> None:
    """Write the row of a video that has been read beside its latents.

    Args:
        row: Its `uri` must hold no secrets: the file is readable by whoever reads the latents.
    Raises:
        DiskFullError: No space; an earlier file is untouched.
        UnreachableError: The folder cannot be written to.
    """
    assert row.fingerprint is not None, "a video that was never read has no latents"
    facts: dict[str, Any] = {
        "format": FORMAT,
        **{name: getattr(row, name) for name in _KEPT},
        "media": None if row.media is None else asdict(row.media),
        "start_at": None if row.start_at is None else row.start_at.isoformat(),
        **{name: getattr(row, name) for name in _CLOCK},
        "content": None if row.content is None else asdict(row.content),
        "stats": asdict(row.stats),
        **{name: list(getattr(row, name)) for name in _LISTS},
        "failure": None if row.failure is None else asdict(row.failure),
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
    path = home.sidecar(row.fingerprint, row.id)
    try:
        make_folder(path.parent)
        atomic_write_bytes(path, json.dumps(facts, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        if is_out_of_space(error):
            raise DiskFullError(f"no space left for {path}") from error
        raise UnreachableError(f"{path}: cannot be written ({error.strerror})") from error


def read_sidecars(home: HomeFolder) -> tuple[VideoRow, ...]:
    """Return the rows that stand beside latents, oldest video first, each video once.

    A file that cannot be understood is passed over, with a line in the log. Of several readings
    of a video a complete one counts, and of those the newest.
    """
    rows: dict[VideoId, VideoRow] = {}
    for row in sorted(_rows(home), key=lambda row: (row.status == "ready", row.updated_at)):
        rows[row.id] = row
    return tuple(sorted(rows.values(), key=lambda row: (row.created_at, row.id)))


def _rows(home: HomeFolder) -> Iterator[VideoRow]:
    for folder in home.readings():
        path = home.sidecar(Fingerprint(folder.parent.name), VideoId(folder.name))
        try:
            facts = json.loads(path.read_bytes())
            if facts["format"] != FORMAT:
                raise ValueError(f"format {facts['format']}; this version reads {FORMAT}")
            yield _row(facts)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError) as error:
            _log.warning("%s is passed over: %s", path, error)


def _row(facts: dict[str, Any]) -> VideoRow:
    media, start_at, failure = facts["media"], facts["start_at"], facts["failure"]
    before: dict[str, Any] = dict.fromkeys((*_CLOCK, "content"))
    before |= {"start_source": None if start_at is None else "user"}
    before |= {"start_is_local": False, "has_grown": False, "tags": []}
    facts = before | facts
    content = facts["content"]
    if media is not None:
        lists = {"warnings": tuple(media["warnings"]), "tags": tuple(map(tuple, media["tags"]))}
        media = MediaInfo(**{**media, **lists})
    return VideoRow(
        **{name: facts[name] for name in (*_KEPT, *_CLOCK)},
        content=None if content is None else FileContent(**content),
        media=media,
        start_at=None if start_at is None else datetime.fromisoformat(start_at),
        stats=SampleStats(**facts["stats"]),
        warnings=tuple(facts["warnings"]),
        tags=tuple(facts["tags"]),
        failure=None if failure is None else Failure(**failure),
        created_at=datetime.fromisoformat(facts["created_at"]),
        updated_at=datetime.fromisoformat(facts["updated_at"]),
    )
