"""Video files described clip by clip by the model; what is kept is not described again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.config.engine_config import media_limits
from app.progress import ProgressCallback, ProgressUpdate
from app.sandbox.reader import SandboxedReader, SandboxedSound
from app.schemas.training import SkippedVideo
from app.services.context import ServiceContext
from app.services.sources import identify
from engine.errors import (
    InputRefusedError,
    LongwatchError,
    MediaDecodeError,
    MediaRefusedError,
    UnreachableError,
)
from engine.protocols import Sampling
from engine.training.data.captions import CaptionLog
from engine.training.data.clips import ClipCaption, caption_clips, caption_key


@dataclass(slots=True, kw_only=True)
class DescribedVideos:
    """The captions of several videos, and what could not be described."""

    model: str
    by_video: dict[str, tuple[ClipCaption, ...]] = field(default_factory=dict)
    skipped: list[SkippedVideo] = field(default_factory=list)
    written: int = 0
    """Captions of this run; the others were kept by an earlier one."""


def describe_videos(
    context: ServiceContext,
    videos: Mapping[str, Path],
    log: Path,
    *,
    clip_s: float,
    report: ProgressCallback,
) -> DescribedVideos:
    """Have the model describe every clip that it has not described yet.

    Args:
        videos: Files by their names.
        log: JSON lines that captions are kept in, each as it comes.
        clip_s: Length of a clip.
    """
    card = context.engine.model.card
    sampling = Sampling(max_tokens=context.settings.limits.answer_tokens)
    kept = CaptionLog(log, caption_key(context.engine, clip_s=clip_s, sampling=sampling))
    described = DescribedVideos(model=f"{card.family}/{card.variant}")
    for video, path in videos.items():
        try:
            identity = identify(path)
            if not kept.is_finished(identity):
                before = kept.captions(identity)
                for caption in _describe(context, path, before, clip_s, report):
                    kept.add(video, identity, caption)
                    described.written += 1
                kept.finish(video, identity)
        except (InputRefusedError, UnreachableError) as error:
            described.skipped.append(SkippedVideo(video=video, reason=reason_of(error)))
        else:
            described.by_video[video] = kept.captions(identity)
    return described


def reason_of(error: LongwatchError) -> str:
    """Return what is wrong with a video that is named beside it."""
    if isinstance(error, MediaRefusedError | MediaDecodeError):
        return error.reason
    return str(error)


def _describe(
    context: ServiceContext,
    path: Path,
    kept: Sequence[ClipCaption],
    clip_s: float,
    report: ProgressCallback,
) -> Iterator[ClipCaption]:
    """Yield the captions of a video behind those that are kept."""
    engine, limits = context.engine, media_limits(context.settings)
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
        with sound as track:
            sampling = Sampling(max_tokens=context.settings.limits.answer_tokens)
            for caption in caption_clips(
                engine, reader, clip_s=clip_s, sound=track, sampling=sampling
            ):
                yield caption
                done = caption.span.end_s
                report(ProgressUpdate(what=path.name, done=done, total=reader.info.duration_s))
