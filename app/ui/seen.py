"""Things seen and heard in a video: chips with counts, the moments of one, the observing job."""

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from app.schemas.jobs import JobItem
from app.schemas.moments import MomentItem
from app.schemas.observations import ObservationItem, OverviewResponse
from app.schemas.videos import VideoItem
from app.services.access import Access
from app.services.context import ServiceContext
from app.services.moments import list_moments
from app.services.observations import list_observations
from app.timefmt import format_clock
from app.ui.components.base import OwnComponent
from app.ui.components.moments import MomentCard, draw_shot
from app.ui.components.player import PlayerSpan
from app.ui.markup import NOTHING, part
from app.ui.strip import NAMES

CHAPTERS: Final = "chapters"
MOST_ROWS: Final = 60
BUSY: Final = frozenset({"queued", "running"})


class ActionPanel(OwnComponent):
    """Markup whose buttons trigger one event.

    Value: markup with buttons that carry `data-action` and `data-key`.

    Events: `act`, with `action` and `key` of the button.
    """

    script = "relay"
    triggers = ("act",)

    def postprocess(self, value: Any) -> str:
        """Return the markup as it is."""
        return str(value or "")


def draw_seen(
    overview: OverviewResponse, video: VideoItem, rows: Markup, chosen: str, *, is_admin: bool
) -> str:
    """Return the panel.

    Args:
        rows: Moments of the chip that is chosen (`draw_rows`).
        chosen: The key of that chip.
    """
    chips = [_chip(CHAPTERS, CHAPTERS, None, chosen)] if is_read(video) else []
    for item in overview.observed:
        chips += [
            _chip(f"{item.kind}:{label.label}", label.label, label.count, chosen)
            for label in item.labels
        ]
        if item.count and not item.labels:
            chips.append(_chip(f"{item.kind}:", NAMES[item.kind], item.count, chosen))
    job = overview.job
    acts = Markup('<div class="end row">{}{}</div>').format(
        _progress(job), _button(overview, video)
    )
    return part(
        Markup(
            '<section class="panel seen" aria-label="Seen and heard"><div class="title">'
            '<h2>Seen and heard</h2><div class="row chips">{}</div>{}</div>'
            '<div class="body"><div role="status">{}</div><div>{}</div></div></section>'
        ).format(
            Markup("").join(chips), acts if is_admin else _progress(job), _notes(overview), rows
        )
    )


def list_rows(
    context: ServiceContext, access: Access, video: VideoItem, chip: str
) -> tuple[Markup, tuple[PlayerSpan, ...]]:
    """Return the moments of a chip, drawn, and as the player marks them; none of no chip.

    Raises:
        NotFoundError: No such video.
    """
    rows: Sequence[MomentItem | ObservationItem] = ()
    summary = ""
    if chip == CHAPTERS:
        document = list_moments(context, video.video_id, access=access)
        summary, rows = document.summary, document.moments
    elif chip:
        kind, _, label = chip.partition(":")
        rows = list_observations(
            context,
            video.video_id,
            kinds=[kind],
            labels=[label] if label else [],
            limit=MOST_ROWS,
            access=access,
        ).observations
    spans = [
        PlayerSpan(video_id=row.video_id, start_s=row.start_s, end_s=row.end_s) for row in rows
    ]
    return draw_rows(rows, summary) if chip else NOTHING, tuple(spans)


def is_read(video: VideoItem) -> bool:
    """Return whether something can be seen; sound alone is ready without a chunk."""
    return video.chunks > 0 or video.status == "ready"


def is_busy(overview: OverviewResponse) -> bool:
    """Return whether the video is being observed."""
    return overview.job is not None and overview.job.state in BUSY


def draw_rows(rows: Sequence[MomentItem | ObservationItem], summary: str = "") -> Markup:
    """Return chapters or observations: lines of what was said, tiles of what was seen."""
    words = Markup("<p>{}</p>").format(summary) if summary else NOTHING
    if any(isinstance(row, ObservationItem) and row.text for row in rows):
        lines = Markup("").join(
            Markup(
                '<li><a class="shot line" href="/ui/watch?v={}&amp;t={}&amp;end={}">'
                '<span class="mono faint">{}</span><span>{}</span></a></li>'
            ).format(row.video_id, row.start_s, row.end_s, format_clock(row.start_s), _about(row))
            for row in rows
        )
        return words + Markup('<ol class="lines">{}</ol>').format(lines)
    cards = Markup("").join(
        draw_shot(
            MomentCard(
                video_id=row.video_id,
                video=row.video,
                start_s=row.start_s,
                end_s=row.end_s,
                peak_s=row.peak_s if isinstance(row, ObservationItem) else row.keyframe_s,
                about=_about(row),
                start_at=row.start_at,
                start_source=row.start_source,
            )
        )
        for row in rows
    )
    return words + Markup('<div class="evidence">{}</div>').format(cards)


def _about(row: MomentItem | ObservationItem) -> str:
    if isinstance(row, MomentItem):
        return row.title
    if row.text:
        return row.text
    name = " ".join([*row.colours[:1], row.label])
    return f"{name} · {row.confidence:.2f}"


def _chip(key: str, text: str, count: int | None, chosen: str) -> Markup:
    number = Markup('<span class="faint mono">{}</span>').format(count) if count else ""
    return Markup(
        '<button type="button" class="chip" data-action="rows" data-key="{}" aria-pressed="{}">'
        "{} {}</button>"
    ).format(key, "true" if key == chosen else "false", text, number)


def _notes(overview: OverviewResponse) -> Markup:
    notes = [Markup('<p class="muted">{}</p>').format(overview.note)] if overview.note else []
    if overview.job is not None and overview.job.error:
        words = "; ".join(filter(None, (overview.job.error, overview.job.hint)))
        notes.append(Markup('<p class="wrong">{}</p>').format(words))
    notes += [
        Markup('<p class="left-out">{}: {}</p>').format(item.observer, item.missing)
        for item in overview.observed
        if item.missing
    ]
    return Markup("").join(notes)


def _progress(job: JobItem | None) -> Markup:
    if job is None or job.state not in BUSY:
        return NOTHING
    if job.state == "queued":
        return Markup('<span class="faint">observing waits for its turn</span>')
    value = Markup(' value="{:.3f}"').format(min(1, job.done / job.total)) if job.total else ""
    return Markup(
        '<div class="far"><progress max="1" aria-label="Observing"{}></progress>'
        '<span class="faint mono">{}</span></div>'
    ).format(value, job.note)


def _button(overview: OverviewResponse, video: VideoItem) -> Markup:
    job = overview.job
    if not is_read(video) or not (overview.can_observe or is_busy(overview)):
        return NOTHING
    is_partial = job is not None and job.state != "done"
    is_new = not any(item.reach_s > 0 for item in overview.observed)
    action, text = ("observe", "Observe") if is_new or is_partial else ("again", "Observe again")
    key: object = video.video_id
    if job is not None and job.state in BUSY:
        action, text, key = "stop", "Stop", job.job_id
    return Markup(
        '<button type="button" class="quiet" data-action="{}" data-key="{}">{}</button>'
    ).format(action, key, text)
