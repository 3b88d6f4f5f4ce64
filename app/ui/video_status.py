"""A video's name and state in markup, and how far its ingest is."""

from typing import Final

from markupsafe import Markup

from app.schemas.videos import VideoItem
from app.ui.markup import NOTHING, empty, part, problem

WORDS: Final = {
    "queued": "waiting",
    "ingesting": "reading",
    "cancelled": "stopped",
}
_KINDS: Final = {"ready": "ready", "failed": "failed", "ingesting": "running"}

_LIBRARY: Final = Markup('<a class="button" href="/ui/">Open the library</a>')
NOTHING_YET: Final = part(
    Markup('<h1 class="sr">Watch and ask</h1>'),
    empty(
        "film",
        "Nothing to watch yet",
        "Add a video first; its first chunks can be asked while the rest is being read.",
        _LIBRARY,
    ),
)
GONE: Final = part(
    Markup("<h1>No such video</h1>"),
    problem("This video is gone, or was not shared with you", "Nothing is shown in its place."),
    _LIBRARY,
)


def is_being_read(video: VideoItem) -> bool:
    """Return whether more of it will come."""
    return video.status in {"queued", "ingesting"}


def draw_chip(video: VideoItem) -> Markup:
    """Return the state as a chip."""
    return Markup('<span class="chip {}" title="{}"><span class="dot"></span>{}</span>').format(
        _KINDS.get(video.status, ""), video.error or "", WORDS.get(video.status, video.status)
    )


def draw_title(video: VideoItem) -> Markup:
    """Return the name as a heading, the state as a chip, and progress or a failure."""
    chip = draw_chip(video)
    far = NOTHING
    if is_being_read(video):
        far = Markup('<span class="faint mono">{}</span>').format(progress_text(video))
    wrong = Markup('<span class="wrong faint">{}</span>').format(video.error or "")
    return Markup('<h1>{}</h1><span class="row">{}{}{}</span>').format(
        video.name, chip, far, wrong if video.error else ""
    )


def progress_text(video: VideoItem) -> str:
    """Return how far an ingest is: `chunk 214/900 · 8.3x real time · ETA 6 min`."""
    total = f"/{video.expected_chunks}" if video.expected_chunks else ""
    words = [f"chunk {video.chunks}{total}" if video.chunks else "opening"]
    if video.realtime_factor:
        words.append(f"{video.realtime_factor:.1f}x real time")
    if video.eta_s:
        words.append(f"ETA {_length_text(video.eta_s)}")
    return " · ".join(words)


def _length_text(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
