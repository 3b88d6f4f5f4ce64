"""Footage of cameras that is handed on: clips by the wall clock, and a signed list of them.

manifest.json      what was exported, with the SHA-256 of each clip
manifest.sig       the Ed25519 signature of that file, 64 bytes
public-key.pem     the key that verifies it
<camera>/*.mp4     clips, one for each stretch without a break
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZipFile

from app.config.engine_config import media_limits
from app.schemas.common import MessageResponse
from app.schemas.evidence import (
    ClipItem,
    EvidenceManifest,
    ExportedCameraItem,
    RuleVersionItem,
    SeenByItem,
    UnrecordedItem,
)
from app.services.access import FULL_ACCESS, Access, visible_cameras
from app.services.alert_conditions import is_about
from app.services.alert_rules import enabled_rules
from app.services.context import ServiceContext
from app.services.originals import has_original, held_original
from app.services.playback import RecordedClip, cut_recording, segments_within
from app.services.recorder import named_part
from app.services.signing import fingerprint, library_key, public_pem
from app.services.timelines import LEAST_GAP_S, parts_of
from app.version import product_version
from engine.errors import (
    DiskFullError,
    InputRefusedError,
    LongwatchError,
    MediaRefusedError,
    NotFoundError,
    UnreachableError,
)
from engine.files import is_out_of_space, sha256_of
from engine.plural import counted
from engine.records import TimeSpan, VideoId
from storage.camera_records import CameraRow, SegmentRow
from storage.files import HomeFolder
from storage.records import VideoRow

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
PUBLIC_KEY: Final = "public-key.pem"

MOST_CAMERAS: Final = 64
"""Cameras of one archive that is asked for over the web."""
LEAST_UNRECORDED_S: Final = 1.0
"""Shorter stretches without a clip are not listed: a recording is written in fragments of a
second, and the end of one is known no better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSpan:
    """A span of a camera that can be exported."""

    camera: CameraRow
    start_at: datetime
    end_at: datetime
    beside: tuple[CameraRow, ...]
    """Other cameras of which something is kept then."""


def evidence_span(
    context: ServiceContext,
    video: VideoRow,
    span: TimeSpan,
    *,
    most_s: float | None = None,
    access: Access = FULL_ACCESS,
) -> EvidenceSpan:
    """Return what `export_evidence` is asked for to export a part of a video.

    Args:
        most_s: The longest span allowed; any when `None`.
    Raises:
        InputRefusedError: No camera filmed the video, the span is too long, or nothing of it is
            kept as a recording.
    """
    cameras = {camera.id: camera for camera in visible_cameras(context, access)}
    camera = None if video.camera is None else cameras.get(video.camera)
    start_at, end_at = video.at(span.start_s), video.at(span.end_s)
    if camera is None or start_at is None or end_at is None:
        raise InputRefusedError(f"{video.name} is no recording of a camera")
    _check_length(span.duration_s, most_s)
    kept = [row for row in cameras.values() if _is_kept(context, row, start_at, end_at)]
    if camera not in kept:
        raise InputRefusedError(f"nothing of {camera.name} is recorded then")
    beside = tuple(row for row in kept if row.id != camera.id)
    return EvidenceSpan(camera=camera, start_at=start_at, end_at=end_at, beside=beside)


def export_evidence(
    context: ServiceContext,
    cameras: Sequence[CameraRow],
    start_at: datetime,
    end_at: datetime,
    folder: Path,
    *,
    most_s: float | None = None,
) -> MessageResponse:
    """Write what cameras recorded in a span of the wall clock, with a signed list of it.

    Args:
        folder: A new one; it appears when all is in it.
        most_s: The longest span allowed; any when `None`.
    Raises:
        InputRefusedError: The span is empty or too long, or the folder is there.
        NotFoundError: Nothing of it is recorded.
        DiskFullError: No space; nothing is left behind.
    """
    length_s = (end_at - start_at).total_seconds()
    if length_s <= 0:
        raise InputRefusedError("the span ends before it starts", hint="give a later end")
    _check_length(length_s, most_s)
    if folder.exists():
        raise InputRefusedError(f"{folder} is there already", hint="name a new folder")
    key = library_key(context)
    part = folder.with_name(f".{folder.name}.part")
    try:
        part.mkdir(parents=True)
        items = [_export_camera(context, camera, start_at, end_at, part) for camera in cameras]
        n_clips = sum(len(item.clips) for item in items)
        if not n_clips:
            raise NotFoundError(
                f"nothing of {' and '.join(camera.name for camera in cameras)} is recorded then",
                hint="it was not filmed, or its recording was deleted by age or size",
            )
        manifest = EvidenceManifest(
            made_by=f"Longwatch {product_version()}",
            made_at=_utc(datetime.now(UTC)),
            key=fingerprint(key.public_key()),
            start_at=_utc(start_at),
            end_at=_utc(end_at),
            cameras=items,
            rules=_rules(context, cameras),
        )
        content = manifest.model_dump_json(indent=1).encode()
        (part / MANIFEST).write_bytes(content)
        (part / SIGNATURE).write_bytes(key.sign(content))
        (part / PUBLIC_KEY).write_bytes(public_pem(key.public_key()))
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        if is_out_of_space(error):
            raise DiskFullError(f"no space left for {folder}") from error
        raise UnreachableError(f"{folder}: cannot be written ({error.strerror})") from error
    except LongwatchError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    n_gaps = sum(len(item.gaps) for item in items)
    gaps = f", with {counted(n_gaps, 'gap')} between" if n_gaps else ""
    return MessageResponse(
        message=f"{folder} holds {counted(n_clips, 'clip')}{gaps}, signed by the key {manifest.key}"
    )


def pack_evidence(
    context: ServiceContext,
    cameras: Sequence[CameraRow],
    start_at: datetime,
    end_at: datetime,
    archive: Path,
    *,
    most_s: float | None = None,
) -> None:
    """Write what `export_evidence` does as a ZIP archive, which may be there; raises as that."""
    with TemporaryDirectory(prefix="evidence-", dir=archive.parent) as temporary:
        folder = Path(temporary) / "evidence"
        export_evidence(context, cameras, start_at, end_at, folder, most_s=most_s)
        # As they are: clips are compressed.
        with ZipFile(archive, "w") as out:
            for path in sorted(folder.rglob("*")):
                out.write(path, path.relative_to(folder))


def _check_length(length_s: float, most_s: float | None) -> None:
    if most_s is not None and length_s > most_s:
        raise InputRefusedError(f"the span has {length_s:g} s, the limit is {most_s:g} s")


def _is_kept(
    context: ServiceContext, camera: CameraRow, start_at: datetime, end_at: datetime
) -> bool:
    """Return whether anything of a camera is kept of a span."""
    return bool(segments_within(context, camera, start_at, end_at)) or any(
        _files(context, parts_of(context, camera), start_at, end_at)
    )


def _export_camera(
    context: ServiceContext, camera: CameraRow, start_at: datetime, end_at: datetime, folder: Path
) -> ExportedCameraItem:
    name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', camera.name)[:64]}-{camera.id}"
    (folder / name).mkdir()
    parts = {row.id: row for row in parts_of(context, camera)}
    clips = [
        *_recorded_clips(context, camera, parts, start_at, end_at, folder / name),
        *_file_clips(context, parts.values(), start_at, end_at, folder / name),
    ]
    clips.sort(key=lambda kept: kept[0].start_at)
    items = [
        ClipItem(
            file=f"{name}/{path.name}",
            sha256=sha256_of(path),
            bytes=path.stat().st_size,
            start_at=_utc(clip.start_at),
            end_at=_utc(clip.end_at),
            clock="live" if part is None else part.start_source or "live",
            is_copied=not clip.reencoded,
            seen_by=None if part is None else _seen_by(context, part),
        )
        for clip, path, part in clips
    ]
    return ExportedCameraItem(
        camera_id=camera.id,
        name=camera.name,
        timezone=camera.timezone,
        clips=items,
        gaps=[*_gaps([clip for clip, _, _ in clips], start_at, end_at)],
    )


_WrittenClip = tuple[RecordedClip, Path, VideoRow | None]


def _recorded_clips(
    context: ServiceContext,
    camera: CameraRow,
    parts: dict[VideoId, VideoRow],
    start_at: datetime,
    end_at: datetime,
    folder: Path,
) -> Iterator[_WrittenClip]:
    """Cut what was recorded, one clip for each stretch without a break."""
    for run in _runs(segments_within(context, camera, start_at, end_at)):
        path = _clip_path(folder, max(start_at, run[0].start_at))
        try:
            clip = cut_recording(context, camera.name, run, start_at, end_at, path)
        except (NotFoundError, MediaRefusedError):
            # Deleted by age meanwhile, or no picture of it lies in the span: a gap is listed.
            continue
        part = None if run[0].video is None else parts.get(run[0].video)
        yield clip, path, part


def _file_clips(
    context: ServiceContext,
    parts: Iterable[VideoRow],
    start_at: datetime,
    end_at: datetime,
    folder: Path,
) -> Iterator[_WrittenClip]:
    """Cut files of a recorder that belong to the camera."""
    # Late: the decoder, which a list of cameras does without.
    from engine.media.clip import cut

    for part, span in _files(context, parts, start_at, end_at):
        path = _clip_path(folder, part.at(span.start_s) or start_at)
        limits = media_limits(context.settings, part.video_track)
        try:
            with held_original(context, part) as original:
                clip = cut(str(original), span, path, limits=limits)
        except MediaRefusedError:
            continue
        begins_at, ends_at = part.at(clip.span.start_s), part.at(clip.span.end_s)
        assert begins_at is not None
        assert ends_at is not None
        recorded = RecordedClip(start_at=begins_at, end_at=ends_at, reencoded=clip.reencoded)
        yield recorded, path, part


def _files(
    context: ServiceContext, parts: Iterable[VideoRow], start_at: datetime, end_at: datetime
) -> Iterator[tuple[VideoRow, TimeSpan]]:
    """Yield the files of a recorder that reach into a span, with what they hold of it."""
    for part in parts:
        if part.start_at is None or not has_original(context, part):
            continue
        start_s = max(0.0, (start_at - part.start_at).total_seconds())
        end_s = (end_at - part.start_at).total_seconds()
        if start_s < min(end_s, part.duration_s or part.ingested_s):
            yield part, TimeSpan(start_s=start_s, end_s=end_s)


def _runs(segments: Sequence[SegmentRow]) -> Iterator[list[SegmentRow]]:
    """Yield files that follow each other without a break, in one connection to the camera."""
    run: list[SegmentRow] = []
    for segment in segments:
        if run and (
            named_part(run[-1].name) != named_part(segment.name)
            or segment.start_at - run[-1].end_at > timedelta(seconds=LEAST_GAP_S)
        ):
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def _clip_path(folder: Path, start_at: datetime) -> Path:
    """Return a free path for a clip, named by its moment in UTC."""
    moment, number = f"{start_at.astimezone(UTC):%Y%m%dT%H%M%SZ}", 1
    path = folder / f"{moment}.mp4"
    while path.exists():
        number += 1
        path = folder / f"{moment}-{number}.mp4"
    return path


def _gaps(
    clips: Sequence[RecordedClip], start_at: datetime, end_at: datetime
) -> Iterator[UnrecordedItem]:
    """Yield the stretches of a span that no clip holds."""
    least, reached_at = timedelta(seconds=LEAST_UNRECORDED_S), start_at
    edges = [(clip.start_at, clip.end_at) for clip in clips]
    for clip_start_at, clip_end_at in [*edges, (end_at, end_at)]:
        if clip_start_at - reached_at > least:
            yield UnrecordedItem(start_at=_utc(reached_at), end_at=_utc(clip_start_at))
        reached_at = max(reached_at, clip_end_at)


def _seen_by(context: ServiceContext, part: VideoRow) -> SeenByItem:
    vectors = HomeFolder(context.settings.home).vectors
    return SeenByItem(
        video_id=part.id,
        pipeline=part.fingerprint,
        model=part.model,
        sample_fps=part.sample_fps,
        encoders=sorted(path.parent.name for path in vectors.glob(f"*/{part.id}")),
        observers={
            reach.kind: reach.model for reach in context.catalog.observations.reach(part.id)
        },
    )


def _rules(context: ServiceContext, cameras: Sequence[CameraRow]) -> list[RuleVersionItem]:
    """Return the rules that look at any of these cameras."""
    videos = context.catalog.videos.list()
    ids = {camera.id for camera in cameras}
    newest = [row for row in videos if row.camera in ids]
    return [
        RuleVersionItem(
            name=rule.name,
            revision=rule.revision,
            sha256=hashlib.sha256(json.dumps(rule.definition, sort_keys=True).encode()).hexdigest(),
        )
        for rule, condition in enabled_rules(context)
        if ids & set(condition.cameras) or any(is_about(condition, row, videos) for row in newest)
    ]


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
