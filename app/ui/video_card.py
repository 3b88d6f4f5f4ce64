"""A video of the library as a card: picture, name, day, what was seen in it, what can be done."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from app.schemas.jobs import JobItem
from app.schemas.videos import VideoItem
from app.services.access import FULL_ACCESS
from app.timefmt import format_clock
from app.ui.hints import web_hint
from app.ui.markup import NOTHING, filmed_text, icon, menu, menu_button
from app.ui.video_status import draw_chip, is_being_read, progress_text
from storage.records import LabelTally

MOST_LABELS: Final = 5
KIND_NAMES: Final = {"motion": "movement", "text": "print", "speech": "speech"}
"""Kinds of observations whose rows have no label, as people know them."""


def draw_card(
    video: VideoItem,
    *,
    labels: Sequence[LabelTally] = (),
    camera: str | None = None,
    added: str = "",
    observing: JobItem | None = None,
    leaves: str = "",
    is_admin: bool,
) -> Markup:
    """Return a card.

    Args:
        labels: What was observed, the most first.
        camera: The camera that filmed it.
        added: The day on which it was added.
        observing: The job that looks at it now.
        leaves: When the retention takes it away, where that is near.
        is_admin: Whether it may be changed.
    """
    address = f"/ui/watch?v={video.video_id}"
    return Markup(
        '<article class="card" aria-label="{name}">'
        '<a class="cover" href="{address}" tabindex="-1" aria-hidden="true">'
        '{film}{image}{stamp}</a><label class="pick">'
        '<input type="checkbox" value="{key}" aria-label="Choose {name}"></label>'
        '<div class="body"><div class="top"><a id="open-{key}" href="{address}">{name}</a>'
        '{menu}</div><p class="facts">{facts}</p>{state}{seen}{tags}</div></article>'
    ).format(
        name=video.name,
        key=video.video_id,
        address=address,
        film=icon("film"),
        image=_image(video),
        stamp=_stamp(video),
        menu=_menu(video, is_admin=is_admin),
        facts=Markup(" · ").join(_facts(video, camera, added, leaves)),
        state=_state(video, observing, is_admin=is_admin),
        seen=_seen(labels),
        tags=_tags(video),
    )


def _image(video: VideoItem) -> Markup:
    if video.thumb_url is None or not video.chunks:
        return NOTHING
    return Markup('<img src="{}" alt="" loading="lazy" decoding="async">').format(video.thumb_url)


def _stamp(video: VideoItem) -> Markup:
    if video.is_live:
        return Markup('<span class="stamp live">live</span>')
    text = format_clock(video.duration_s) if video.duration_s else "?"
    return Markup('<span class="stamp">{}</span>').format(text)


def _facts(video: VideoItem, camera: str | None, added: str, leaves: str) -> list[Markup]:
    facts = []
    if video.start_at:
        # As the clock stood where it was filmed, wherever the reader is.
        filmed = filmed_text(video.start_at, video.start_source)
        day = f"{video.start_at[:10]} {video.start_at[11:16]}"
        facts.append(Markup('<span title="{}">{}</span>').format(filmed, day))
    else:
        facts.append(Markup('<span title="When it was added">added {}</span>').format(added))
    if camera and camera != video.name:
        place = video.recording
        beside = f" {place.part}/{place.parts}" if place else ""
        facts.append(Markup("<span>{}{}</span>").format(camera, beside))
    if leaves:
        facts.append(Markup('<span class="wrong">{}</span>').format(leaves))
    return facts


def _state(video: VideoItem, observing: JobItem | None, *, is_admin: bool) -> Markup:
    """Return what is going on or went wrong; a video that is ready says nothing."""
    if is_being_read(video):
        share = video.ingested_s / video.duration_s if video.duration_s else None
        return Markup(
            '<div class="going">{}{}<progress max="1" aria-label="Reading {}"{}></progress>'
            '<span class="faint mono">{}</span></div>'
        ).format(
            draw_chip(video),
            Markup('<span class="faint">can be asked already</span>') if video.chunks else NOTHING,
            video.name,
            NOTHING if share is None else Markup(' value="{:.3f}"').format(min(1.0, share)),
            progress_text(video),
        )
    if video.status != "ready":
        way = web_hint(video.hint, FULL_ACCESS if is_admin else None)
        hint = Markup(' <span class="faint">{}</span>').format(way) if way else ""
        return Markup('<div class="going">{}</div><p class="reason">{}{}</p>').format(
            draw_chip(video), video.error or "", hint
        )
    if observing is not None:
        far = (
            f" {100 * min(1.0, observing.done / observing.total):.0f} %" if observing.total else ""
        )
        words = "waits to be observed" if observing.state == "queued" else f"observing{far}"
        return Markup(
            '<div class="going"><span class="chip running"><span class="dot"></span>{}</span></div>'
        ).format(words)
    return NOTHING


def _seen(labels: Sequence[LabelTally]) -> Markup:
    if not labels:
        return NOTHING
    chips = Markup("").join(
        Markup(
            '<button type="button" class="chip" data-action="observed" data-key="{}" '
            'title="Show all videos with this">{}{}</button>'
        ).format(
            tally.label or tally.kind,
            tally.label or KIND_NAMES[tally.kind],
            Markup(' <span class="faint mono">{}</span>').format(tally.n) if tally.label else "",
        )
        for tally in _spread(labels)
    )
    rest = len(labels) - MOST_LABELS
    more = Markup('<span class="faint">+{}</span>').format(rest) if rest > 0 else NOTHING
    return Markup('<div class="chips" role="group" aria-label="Observed">{}{}</div>').format(
        chips, more
    )


def _spread(labels: Sequence[LabelTally]) -> list[LabelTally]:
    """Return the first labels, with room for speech and print, which stand behind all things."""
    kinds = [tally for tally in labels if not tally.label]
    things = [tally for tally in labels if tally.label]
    return [*things[: MOST_LABELS - len(kinds)], *kinds]


def _tags(video: VideoItem) -> Markup:
    if not video.tags:
        return NOTHING
    chips = Markup("").join(
        Markup(
            '<button type="button" class="tag" data-action="tag" data-key="{}" '
            'title="Show all videos with this tag">{}</button>'
        ).format(tag, tag)
        for tag in video.tags
    )
    return Markup('<div class="chips" role="group" aria-label="Tags">{}</div>').format(chips)


def _menu(video: VideoItem, *, is_admin: bool) -> Markup:
    name = f"menu-{video.video_id}"
    items = [Markup('<a class="button quiet" href="/ui/search?v={}">Search in it</a>')]
    items[0] = items[0].format(video.video_id)
    actions = [("details", "Details …")]
    if video.play_url:
        actions.append(("export", "Export a clip …"))
    if is_admin:
        actions[0] = ("details", "Name, clock, tags …")
        if is_being_read(video) and video.job:
            actions.append(("stop", "Stop reading"))
        if video.status in {"failed", "cancelled"}:
            actions.append(("read", "Go on reading"))
        if video.status == "ready":
            actions.append(("caption", "Describe in words"))
        actions.append(("remove", "Delete …"))
    items += [
        menu_button(
            name,
            text,
            kind="danger" if action == "remove" else "",
            action=action,
            key=video.video_id,
        )
        for action, text in actions
    ]
    return menu(name, f"More for {video.name}", icon("more"), items, kind="icon")
