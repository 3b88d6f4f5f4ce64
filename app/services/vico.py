"""Video files to a file of VICO questions: found, captioned or read, asked, written.

Captions are kept beside the output as they come (`NAME.captions.jsonl`). A run that was killed
goes on behind the last of them, and ends with the same bytes as one that was left alone.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from app.cli.render import ProgressUpdate
from app.config.engine_config import media_limits
from app.sandbox.reader import SandboxedReader, SandboxedSound, probe_foreign
from app.schemas.training import SkippedVideo, VicoResponse
from app.services.context import ProgressCallback, Service, no_progress
from app.services.sources import expand, identify
from engine.errors import (
    InputRefusedError,
    LongwatchError,
    MediaDecodeError,
    MediaRefusedError,
    UnreachableError,
)
from engine.files import atomic_write
from engine.media.source import is_live_uri
from engine.protocols import Sampling
from engine.training.data.captions import CaptionLog, read_captions
from engine.training.data.clips import CLIP_S, ClipCaption, caption_clips, caption_key
from engine.training.vico.clues import Clue, find_clues
from engine.training.vico.samples import FEWEST_CLUES, VicoLine, build


@dataclass(frozen=True, slots=True, kw_only=True)
class VicoOrder:
    """What a run is asked to do."""

    sources: Sequence[str]
    """Files and folders."""
    output: Path
    captions: Sequence[Path] = ()
    """Files of captions; the model describes when there are none."""
    clip_s: float = CLIP_S
    questions_per_video: int = 14
    seed: int = 0


@dataclass(slots=True, kw_only=True)
class _Said:
    """Captions by video, and how they came."""

    captions: dict[str, tuple[ClipCaption, ...]]
    skipped: list[SkippedVideo]
    bad_captions: list[str]
    written: int
    model: str | None
    file: Path | None


def build_vico(
    service: Service, order: VicoOrder, report: ProgressCallback = no_progress
) -> VicoResponse:
    """Write a file of questions about the order of what videos show.

    Raises:
        InputRefusedError: Nothing usable: no video, no captions, or too few clues in them all.
        UnreachableError: A source is not there, or the output cannot be written.
    """
    started = time.monotonic()
    with _writable(order.output):
        order.output.parent.mkdir(parents=True, exist_ok=True)
        media, videos = find_videos(order.sources)
        if order.captions:
            said = _read_said(service, order, videos)
        else:
            said = _describe_all(service, order, videos, report)
        clues = _usable(said)
        lines = list(build(clues, questions_per_video=order.questions_per_video, seed=order.seed))
        if not lines:
            reasons = "; ".join(f"{each.video}: {each.reason}" for each in said.skipped[:3])
            raise InputRefusedError(
                f"no question can be made of {len(videos)} video(s): {reasons}",
                hint="give longer videos, or captions that say more",
            )
        with atomic_write(order.output) as temporary:
            temporary.write_text("".join(line.dump() for line in lines), encoding="utf-8")
    return _document(order, media, said, clues, lines, wall_s=time.monotonic() - started)


def find_videos(sources: Sequence[str]) -> tuple[Path, dict[str, Path]]:
    """The media folder, and the videos below it by their relative names, sorted.

    The folder is the one that was named, or the nearest that holds all that was.

    Raises:
        InputRefusedError: A live source, or a folder without videos.
        UnreachableError: No such file or folder.
    """
    for source in sources:
        if is_live_uri(source):
            raise InputRefusedError(f"{source} is live: clips are cut from files")
    found = sorted({Path(each) for each in expand(list(sources))})
    named = [Path(each).expanduser().resolve() for each in sources]
    media = Path(os.path.commonpath([each if each.is_dir() else each.parent for each in named]))
    return media, {path.relative_to(media).as_posix(): path for path in found}


def _describe_all(
    service: Service, order: VicoOrder, videos: Mapping[str, Path], report: ProgressCallback
) -> _Said:
    """The model's own captions of every clip."""
    card = service.engine.model.card
    sampling = Sampling(max_tokens=service.settings.limits.answer_tokens)
    file = order.output.with_name(f"{order.output.stem}.captions.jsonl")
    log = CaptionLog(file, caption_key(service.engine, clip_s=order.clip_s, sampling=sampling))
    said = _Said(
        captions={},
        skipped=[],
        bad_captions=[],
        written=0,
        model=f"{card.family}/{card.variant}",
        file=file,
    )
    for video, path in videos.items():
        try:
            identity = identify(path)
            if not log.is_finished(identity):
                for caption in _describe(service, path, log.captions(identity), order, report):
                    log.add(video, identity, caption)
                    said.written += 1
                log.finish(video, identity)
        except (InputRefusedError, UnreachableError) as error:
            said.skipped.append(SkippedVideo(video=video, reason=_reason(error)))
        else:
            said.captions[video] = log.captions(identity)
    return said


def _describe(
    service: Service,
    path: Path,
    kept: Sequence[ClipCaption],
    order: VicoOrder,
    report: ProgressCallback,
) -> Iterator[ClipCaption]:
    """The captions of a video behind those that are kept."""
    engine, limits = service.engine, media_limits(service.settings)
    reader = SandboxedReader(
        str(path),
        # A clip is a stretch of time: it has all its frames, however still they are.
        replace(engine.sampling, thin_static=False),
        limits=limits,
        after_s=kept[-1].last_s if kept else None,
    )
    sound: AbstractContextManager[SandboxedSound | None] = nullcontext()
    with closing(reader):
        if engine.model.card.wants_audio and reader.info.has_audio:
            sound = closing(SandboxedSound(str(path), limits=limits))
        with sound as heard:
            sampling = Sampling(max_tokens=service.settings.limits.answer_tokens)
            for caption in caption_clips(
                engine, reader, clip_s=order.clip_s, sound=heard, sampling=sampling
            ):
                yield caption
                done = caption.span.end_s
                report(ProgressUpdate(what=path.name, done=done, total=reader.info.duration_s))


def _read_said(service: Service, order: VicoOrder, videos: Mapping[str, Path]) -> _Said:
    """Captions of files, for videos that can be read."""
    limits = media_limits(service.settings)
    read = read_captions(order.captions, list(videos), clip_s=order.clip_s)
    said = _Said(
        captions={},
        skipped=[],
        bad_captions=[f"{each.place}: {each.reason}" for each in read.bad],
        written=0,
        model=None,
        file=None,
    )
    for video, path in videos.items():
        try:
            probe_foreign(str(path), limits)
        except (InputRefusedError, UnreachableError) as error:
            said.skipped.append(SkippedVideo(video=video, reason=_reason(error)))
        else:
            said.captions[video] = read.captions.get(video, ())
    return said


def _usable(said: _Said) -> dict[str, tuple[Clue, ...]]:
    """Clues by video; those with too few are skipped and named."""
    usable = {}
    for video, captions in said.captions.items():
        clues = find_clues(captions)
        if len(clues) >= FEWEST_CLUES:
            usable[video] = clues
            continue
        reason = (
            f"{len(clues)} distinct clue(s) in {len(captions)} caption(s), "
            f"{FEWEST_CLUES} are needed"
        )
        said.skipped.append(SkippedVideo(video=video, reason=reason))
    return usable


def _reason(error: LongwatchError) -> str:
    """What is wrong with a video that is named beside it."""
    if isinstance(error, MediaRefusedError | MediaDecodeError):
        return error.reason
    return str(error)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """What the system says about writing becomes a sentence about the output."""
    try:
        yield
    except OSError as error:
        raise UnreachableError(f"cannot write {path}: {error.strerror or error}") from error


def _document(
    order: VicoOrder,
    media: Path,
    said: _Said,
    clues: Mapping[str, Sequence[Clue]],
    lines: Sequence[VicoLine],
    *,
    wall_s: float,
) -> VicoResponse:
    asked = [line.question for line in lines]
    return VicoResponse(
        output=str(order.output),
        media=str(media),
        captions_file=None if said.file is None else str(said.file),
        model=said.model,
        videos=len(clues),
        captions=sum(len(said.captions[video]) for video in clues),
        captions_written=said.written,
        clues=sum(len(each) for each in clues.values()),
        questions=len(lines),
        kinds=dict(sorted(Counter(each.kind for each in asked).items())),
        letters=dict(sorted(Counter(each.answer for each in asked if each.n_options).items())),
        skipped=sorted(said.skipped, key=lambda each: each.video),
        bad_captions=said.bad_captions,
        wall_s=wall_s,
    )
