"""Pieces of the library page around its cards: heading, room on the disk, pages, what is chosen."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from markupsafe import Markup

from app.schemas.videos import VideoItem
from app.services.library import DiskRoom
from app.sizes import size_text
from app.ui.markup import NOTHING, empty, part
from app.ui.video_status import is_being_read
from engine.plural import counted

SAMPLE: Final = "sample"
_QUARTERS: Final = 4


def draw_head(room: DiskRoom | None = None) -> str:
    """Return the heading with what the library takes; a viewer is not told how large the disk is.

    Args:
        room: `None` before it is known.
    """
    return part(
        Markup('<h1>Library</h1><div class="end">{}</div>').format(
            NOTHING if room is None else _room(room)
        ),
        kind="head",
    )


def _room(room: DiskRoom) -> Markup:
    used = f"{counted(room.n_videos, 'video')} · {size_text(room.latent_bytes)} of latents"
    if room.free_bytes is None or room.reserve_bytes is None:
        return Markup('<div class="room"><span>{}</span></div>').format(used)
    kept = room.latent_bytes + (room.still_bytes or 0)
    is_low = room.free_bytes < room.reserve_bytes
    share = max(1.0, 100 * kept / (kept + room.free_bytes))
    low = Markup('<p class="wrong">Below the reserve: reading is paused, search works.</p>')
    return Markup(
        '<div class="room"><span>{}, {} of pictures, <span class="{}">{} free</span></span>'
        '<div class="meter"><i style="width:{:.1f}%"></i></div>{}</div>'
    ).format(
        used,
        size_text(room.still_bytes or 0),
        "wrong" if is_low else "",
        size_text(room.free_bytes),
        share,
        low if is_low else NOTHING,
    )


def draw_empty(*, is_admin: bool) -> str:
    """Return what stands in a library without a video."""
    if not is_admin:
        words = "Nothing has been shared with you yet. An administrator grants videos in Settings."
        return part(empty("film", "No video yet", words))
    sample = Markup(
        '<button type="button" class="primary" data-action="{}">Try the sample</button>'
    ).format(SAMPLE)
    words = (
        "Drop a long video above. It is read once, chunk by chunk; you can ask about the first "
        "minutes while the rest is still being read. Or begin with a minute that is drawn for you."
    )
    return part(empty("film", "No video yet", words, sample))


def draw_drawing() -> str:
    """Return what stands there while the sample is being drawn."""
    return part(
        Markup(
            '<div class="panel empty" role="status"><h2>Drawing the sample</h2>'
            '<progress aria-label="Drawing the sample"></progress>'
            "<p>A minute of film, drawn on this machine: a few seconds.</p></div>"
        )
    )


def draw_nothing_found() -> str:
    """Return what stands there where no video fits."""
    button = Markup('<button type="button" data-action="clear">Show all videos</button>')
    return part(empty("search", "No video fits", "Change a filter, or remove it.", button))


def draw_sample(video: str, questions: Sequence[str]) -> str:
    """Return questions about the sample as links to their answers."""
    links = Markup("").join(
        Markup('<a class="chip" href="/ui/watch?{}">{}</a>').format(
            urlencode({"v": video, "q": question}), question
        )
        for question in questions
    )
    words = "Ask the sample, whose answers are known:"
    return part(
        Markup('<div class="note row"><span>{}</span>{}</div>').format(words, links), kind="sample"
    )


def draw_pager(page: int, on_a_page: int, n_videos: int) -> str:
    """Return which videos are shown, and the way to the others."""
    last = max(1, -(-n_videos // on_a_page))
    if last == 1:
        return ""
    first = (page - 1) * on_a_page
    words = f"{first + 1:,}\u2013{min(n_videos, first + on_a_page):,} of {n_videos:,}"
    return part(
        Markup(
            '<nav class="more" aria-label="Pages of the library">{}<span>{}</span>{}</nav>'
        ).format(
            _turn("Previous", page - 1, is_there=page > 1),
            words,
            _turn("Next", page + 1, is_there=page < last),
        )
    )


def _turn(text: str, page: int, *, is_there: bool) -> Markup:
    return Markup('<button type="button" data-action="turn" data-key="{}"{}>{}</button>').format(
        page, NOTHING if is_there else Markup(" disabled"), text
    )


def draw_chosen(keys: Sequence[str], *, is_admin: bool) -> str:
    """Return what can be done with the videos that are chosen."""
    if not keys:
        return ""
    links = Markup(
        '<a class="button primary" href="/ui/watch?{}">Ask them</a>'
        '<a class="button" href="/ui/search?{}">Search in them</a>'
    ).format(urlencode({"v": keys[0], "in": ",".join(keys)}), urlencode({"v": ",".join(keys)}))
    actions: list[tuple[str, str]] = []
    if is_admin:
        actions += [("tag", "Tags …"), ("again", "Read again …"), ("remove", "Delete …")]
    buttons = Markup("").join(
        Markup('<button type="button" class="{}" data-action="{}">{}</button>').format(
            "danger" if action == "remove" else "", action, text
        )
        for action, text in actions
    )
    drop = Markup('<button type="button" class="quiet" data-action="none">Choose none</button>')
    return part(
        Markup(
            '<div class="chosen" role="region" aria-label="Chosen videos"><strong role="status">{} '
            "chosen</strong>{}{}{}</div>"
        ).format(len(keys), links, buttons, drop)
    )


def quarters(videos: Sequence[VideoItem]) -> dict[str, int]:
    """Return how many quarters of each video that is being read are read."""
    return {
        video.video_id: int(_QUARTERS * min(1.0, video.ingested_s / video.duration_s))
        for video in videos
        if is_being_read(video) and video.duration_s
    }


def draw_spoken(videos: Sequence[VideoItem], before: Mapping[str, int]) -> str:
    """Return what is said to those who cannot see the bars: every quarter, and the end.

    Args:
        before: What `quarters` returned the last time.
    """
    now = quarters(videos)
    words = []
    for video in videos:
        if video.video_id not in before:
            continue
        if video.status == "ready":
            words.append(f"{video.name} is ready")
        elif now.get(video.video_id, 0) > before[video.video_id]:
            words.append(f"{video.name}: {25 * now[video.video_id]} % read")
    return (
        part(Markup('<p class="sr" role="status">{}</p>').format(". ".join(words))) if words else ""
    )
