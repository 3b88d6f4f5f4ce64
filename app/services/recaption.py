"""Captions of a folder of videos as files that others read, at one or several adapter strengths.

Everything is written anew from kept captions at the end of a run: a run that was killed goes on
behind its last clip, and ends with the same files.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from app.progress import ProgressCallback, no_progress
from app.schemas.training import AlphaItem, RecaptionResponse
from app.services.context import ServiceContext
from app.services.describe_videos import DescribedVideos, describe_videos
from app.services.vico import find_videos, writable
from app.webvtt import write_track
from engine.errors import InputRefusedError
from engine.files import atomic_write_bytes
from engine.training.data.clips import CLIP_S, ClipCaption
from engine.training.data.recaption import conversation, join_alike, wording_of

CaptionFormat = Literal["vtt", "jsonl", "llava"]
FORMATS: Final[tuple[CaptionFormat, ...]] = get_args(CaptionFormat)
LIKENESS: Final = 0.9
MAX_ALPHA: Final = 1024
"""The most that the setting `adapter_alpha` allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecaptionOrder:
    """The request for a run."""

    sources: Sequence[str]
    """Files and folders."""
    output: Path
    """Folder that gets the captions."""
    formats: Sequence[CaptionFormat] = FORMATS
    clip_s: float = CLIP_S
    alphas: Sequence[float | int] = ()
    """Strengths of the adapters, each with a folder of its own; the setting's when empty."""
    likeness: float = LIKENESS
    """Shared words from which a caption is joined with the one before."""


def recaption(
    context: ServiceContext, order: RecaptionOrder, report: ProgressCallback = no_progress
) -> RecaptionResponse:
    """Describe every clip of every video and write the captions in each format.

    Raises:
        InputRefusedError: No video, or the model has no adapters of free strength.
        UnreachableError: A source is not there, or the output cannot be written.
    """
    started = time.monotonic()
    wrong = next((alpha for alpha in order.alphas if not 0 <= alpha <= MAX_ALPHA), None)
    if wrong is not None:
        raise InputRefusedError(f"an alpha is 0 to {MAX_ALPHA}, not {wrong}")
    items, skipped = [], {}
    with writable(order.output):
        order.output.mkdir(parents=True, exist_ok=True)
        media, videos = find_videos(order.sources)
        for alpha in order.alphas or (None,):
            with _of_strength(context, alpha) as adapted:
                described = describe_videos(
                    adapted,
                    videos,
                    order.output / "kept.jsonl",
                    clip_s=order.clip_s,
                    report=report,
                )
            folder = order.output if alpha is None else order.output / f"alpha-{alpha:g}"
            items.append(_write(order, described, folder, alpha))
            skipped.update({item.video: item for item in described.skipped})
    if not any(item.captions for item in items):
        raise InputRefusedError(
            f"none of {len(videos)} video(s) could be described: "
            + "; ".join(f"{item.video}: {item.reason}" for item in list(skipped.values())[:3])
        )
    return RecaptionResponse(
        output=str(order.output),
        media=str(media),
        model=described.model,
        formats=list(order.formats),
        alphas=items,
        skipped=list(skipped.values()),
        wall_s=time.monotonic() - started,
    )


def parse_formats(text: str) -> tuple[CaptionFormat, ...]:
    """Return the formats that a list with commas names.

    Raises:
        InputRefusedError: One of them is unknown, or there is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        which = f"no format {unknown[0]!r}" if unknown else "name a format"
        raise InputRefusedError(f"{which}; there are {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in names)


@contextmanager
def _of_strength(context: ServiceContext, alpha: float | int | None) -> Iterator[ServiceContext]:
    """Yield the library with its model's adapters at a strength."""
    if alpha is None:
        yield context
        return
    adapted = ServiceContext(context.settings.model_copy(update={"adapter_alpha": float(alpha)}))
    try:
        yield adapted
    finally:
        adapted.close()


def _write(
    order: RecaptionOrder, described: DescribedVideos, folder: Path, alpha: float | int | None
) -> AlphaItem:
    """Write the captions of one strength, and return what they are in numbers."""
    captions = {
        video: join_alike(clips, order.likeness) for video, clips in described.by_video.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    if "vtt" in order.formats:
        for video, clips in captions.items():
            track = write_track((clip.span.start_s, clip.span.end_s, clip.text) for clip in clips)
            path = folder / f"{video}.vtt"
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(path, track.encode())
    if "jsonl" in order.formats:
        lines = "".join(map(_line, _entries(captions)))
        atomic_write_bytes(folder / "captions.jsonl", lines.encode())
    if "llava" in order.formats:
        samples = [conversation(video, clips) for video, clips in captions.items() if clips]
        text = json.dumps(samples, indent=1, ensure_ascii=False)
        atomic_write_bytes(folder / "llava.json", f"{text}\n".encode())
    wording = wording_of([clip.text for clips in captions.values() for clip in clips])
    n_clips = sum(map(len, described.by_video.values()))
    return AlphaItem(
        alpha=alpha,
        folder=str(folder),
        videos=len(captions),
        clips=n_clips,
        written=described.written,
        captions=wording.captions,
        words_each=wording.words_each,
        distinct_words=wording.distinct_words,
        repeated=wording.repeated,
    )


def _entries(
    captions: Mapping[str, Sequence[ClipCaption]],
) -> Iterator[tuple[str, ClipCaption]]:
    for video, clips in captions.items():
        for clip in clips:
            yield video, clip


def _line(entry: tuple[str, ClipCaption]) -> str:
    """Return a caption as `longwatch vico --captions` and others read it."""
    video, clip = entry
    fields = {"video": video, "start_s": clip.span.start_s, "end_s": clip.span.end_s}
    return json.dumps({**fields, "text": clip.text}, ensure_ascii=False) + "\n"
