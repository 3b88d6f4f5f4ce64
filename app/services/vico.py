"""Questions about the order of events (VICO), made from video files and their captions.

Captions are kept beside the output as they come (`NAME.captions.jsonl`). A run that was killed
goes on behind the last of them, and ends with the same bytes as one that was left alone.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.config.engine_config import media_limits
from app.progress import ProgressCallback, no_progress
from app.sandbox.reader import probe_foreign
from app.schemas.training import SkippedVideo, VicoResponse
from app.services.context import ServiceContext
from app.services.describe_videos import describe_videos, reason_of
from app.services.sources import expand
from engine.errors import InputRefusedError, UnreachableError
from engine.files import atomic_write
from engine.media.address import is_live_uri
from engine.training.data.captions import read_captions
from engine.training.data.clips import CLIP_S, ClipCaption
from engine.training.vico.clues import Clue, find_clues
from engine.training.vico.samples import FEWEST_CLUES, VicoLine, build


@dataclass(frozen=True, slots=True, kw_only=True)
class VicoOrder:
    """The request for a run."""

    sources: Sequence[str]
    """Files and folders."""
    output: Path
    captions: Sequence[Path] = ()
    """Files of captions; the model describes when there are none."""
    clip_s: float = CLIP_S
    questions_per_video: int = 14
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class _Captions:
    """Captions by video, and where they came from."""

    by_video: dict[str, tuple[ClipCaption, ...]]
    skipped: list[SkippedVideo]
    bad_lines: list[str]
    written: int
    model: str | None
    file: Path | None


def build_vico(
    context: ServiceContext, order: VicoOrder, report: ProgressCallback = no_progress
) -> VicoResponse:
    """Write a file of questions about the order of what videos show.

    Raises:
        InputRefusedError: Nothing usable: no video, no captions, or too few clues in them all.
        UnreachableError: A source is not there, or the output cannot be written.
    """
    started = time.monotonic()
    with writable(order.output):
        order.output.parent.mkdir(parents=True, exist_ok=True)
        media, videos = find_videos(order.sources)
        if order.captions:
            captions = _read_captions(context, order, videos)
        else:
            captions = _describe_all(context, order, videos, report)
        clues = _usable(captions)
        lines = list(build(clues, questions_per_video=order.questions_per_video, seed=order.seed))
        if not lines:
            reasons = "; ".join(f"{item.video}: {item.reason}" for item in captions.skipped[:3])
            raise InputRefusedError(
                f"no question can be made of {len(videos)} video(s): {reasons}",
                hint="give longer videos, or captions that say more",
            )
        with atomic_write(order.output) as temporary:
            temporary.write_text("".join(line.dump() for line in lines), encoding="utf-8")
    return _document(order, media, captions, clues, lines, wall_s=time.monotonic() - started)


def find_videos(sources: Sequence[str]) -> tuple[Path, dict[str, Path]]:
    """Return the media folder, and the videos below it by their relative names, sorted.

    The folder is the one that was named, or the nearest that holds all that was.

    Raises:
        InputRefusedError: A live source, or a folder without videos.
        UnreachableError: No such file or folder.
    """
    for source in sources:
        if is_live_uri(source):
            raise InputRefusedError(f"{source} is live: clips are cut from files")
    files = sorted({Path(file) for file in expand(list(sources))})
    named = [Path(source).expanduser().resolve() for source in sources]
    media = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in named]))
    return media, {file.relative_to(media).as_posix(): file for file in files}


def _describe_all(
    context: ServiceContext, order: VicoOrder, videos: Mapping[str, Path], report: ProgressCallback
) -> _Captions:
    """Have the model describe every clip that it has not described yet."""
    file = order.output.with_name(f"{order.output.stem}.captions.jsonl")
    described = describe_videos(context, videos, file, clip_s=order.clip_s, report=report)
    return _Captions(
        by_video=described.by_video,
        skipped=described.skipped,
        bad_lines=[],
        written=described.written,
        model=described.model,
        file=file,
    )


def _read_captions(
    context: ServiceContext, order: VicoOrder, videos: Mapping[str, Path]
) -> _Captions:
    """Return captions from files, for videos that can be read."""
    limits = media_limits(context.settings)
    read = read_captions(order.captions, list(videos), clip_s=order.clip_s)
    captions = _Captions(
        by_video={},
        skipped=[],
        bad_lines=[f"{line.location}: {line.reason}" for line in read.bad],
        written=0,
        model=None,
        file=None,
    )
    for video, path in videos.items():
        try:
            probe_foreign(str(path), limits)
        except (InputRefusedError, UnreachableError) as error:
            captions.skipped.append(SkippedVideo(video=video, reason=reason_of(error)))
        else:
            captions.by_video[video] = read.captions.get(video, ())
    return captions


def _usable(captions: _Captions) -> dict[str, tuple[Clue, ...]]:
    """Return the clues of every video; those with too few are skipped and named."""
    usable = {}
    for video, clips in captions.by_video.items():
        clues = find_clues(clips)
        if len(clues) >= FEWEST_CLUES:
            usable[video] = clues
            continue
        reason = (
            f"{len(clues)} distinct clue(s) in {len(clips)} caption(s), {FEWEST_CLUES} are needed"
        )
        captions.skipped.append(SkippedVideo(video=video, reason=reason))
    return usable


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn what the system says about writing into a sentence about the output."""
    try:
        yield
    except OSError as error:
        raise UnreachableError(f"cannot write {path}: {error.strerror or error}") from error


def _document(
    order: VicoOrder,
    media: Path,
    captions: _Captions,
    clues: Mapping[str, Sequence[Clue]],
    lines: Sequence[VicoLine],
    *,
    wall_s: float,
) -> VicoResponse:
    questions = [line.question for line in lines]
    return VicoResponse(
        output=str(order.output),
        media=str(media),
        captions_file=None if captions.file is None else str(captions.file),
        model=captions.model,
        videos=len(clues),
        captions=sum(len(captions.by_video[video]) for video in clues),
        captions_written=captions.written,
        clues=sum(len(of_video) for of_video in clues.values()),
        questions=len(lines),
        kinds=dict(sorted(Counter(question.kind for question in questions).items())),
        letters=dict(
            sorted(Counter(question.answer for question in questions if question.n_options).items())
        ),
        skipped=sorted(captions.skipped, key=lambda item: item.video),
        bad_captions=captions.bad_lines,
        wall_s=wall_s,
    )
