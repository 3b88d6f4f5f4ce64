"""Moments as pictures with their times; a click opens the player there."""

from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from app.schemas.verdicts import VerdictRequest
from app.timefmt import clock_text, format_clock
from app.ui.components.base import OwnComponent
from app.ui.components.verdicts import draw_verdict
from app.ui.markup import NOTHING, filmed_text, icon, part, span_text, still


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentCard:
    """A moment of one video, as a card shows it."""

    video_id: str
    video: str
    start_s: float
    end_s: float
    peak_s: float
    """The second whose still is shown."""
    about: str = ""
    """What is seen or said in it; the name of the video where this is empty."""
    badge: str = ""
    """Where it comes from."""
    is_confirmed: bool = True
    start_at: str | None = None
    """On the wall clock, ISO 8601."""
    start_source: str | None = None
    """The origin of the wall clock."""
    verdict: VerdictRequest | None = None
    """What can be said of it; nothing when `None`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentGroup:
    """Cards below one title."""

    title: str
    cards: tuple[MomentCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentList:
    """The value of `MomentGallery`: groups of cards, with words before and after them."""

    groups: tuple[MomentGroup, ...] = ()
    before: Markup = NOTHING
    after: Markup = NOTHING


class MomentGallery(OwnComponent):
    """A gallery of a `MomentList`. Arrow keys walk it while one of its cards has the focus.

    Events: `similar`, with `video_id` and `time_s` of the card whose likeness is asked for.
    """

    script = "relay"
    triggers = ("similar",)

    def postprocess(self, value: MomentList | str | None) -> str:
        """Return the list as markup."""
        if value is None or isinstance(value, str):
            return value or ""
        groups = Markup("").join(map(_group, value.groups))
        cards = Markup('<div class="groups" data-walk=".shot">{}</div>').format(groups)
        return part(value.before, cards, value.after)


def _group(group: MomentGroup) -> Markup:
    return Markup(
        '<section class="group"><h2>{}<span class="faint">{}</span></h2>'
        '<div class="results">{}</div></section>'
    ).format(group.title, len(group.cards), Markup("").join(map(draw_card, group.cards)))


def draw_card(card: MomentCard) -> Markup:
    """Return one moment: still, time, what is seen, a way to find similar ones."""
    span = span_text(card.start_s, card.end_s)
    unsure = "" if card.is_confirmed else "not confirmed"
    badge = " · ".join(filter(None, (card.badge, unsure)))
    words = ", ".join(filter(None, (card.video, span, card.about, card.badge, unsure)))
    filmed = filmed_text(card.start_at, card.start_source) if card.start_at else card.video
    shown = Markup('<span class="badge">{}</span>').format(badge) if badge else ""
    query = urlencode({"v": card.video_id, "t": f"{card.start_s:.1f}"})
    return Markup(
        '<article class="moment{kind}"><a class="shot" href="/ui/watch?{query}" '
        'aria-label="Open {words}">{still}<span class="stamp">{span}</span>{badge}</a>'
        '<div class="about">{when}<span title="{filmed}">{about}</span>{verdict}'
        '<button type="button" class="quiet" data-event="similar" '
        'data-video_id="{video}" data-time_s="{time}" '
        'title="Find similar moments" aria-label="Find moments similar to {video_name} at {peak}">'
        "{alike}</button></div></article>"
    ).format(
        kind="" if card.is_confirmed else " unsure",
        query=query,
        words=words,
        still=still(f"/media/{card.video_id}/frame.jpg?t={card.peak_s:.1f}&w=320"),
        span=span,
        badge=shown,
        filmed=filmed,
        when=_when(clock_text(card.start_at)) if card.start_at else NOTHING,
        about=card.about or card.video,
        verdict=_verdict(card),
        video=card.video_id,
        time=f"{card.peak_s:.1f}",
        video_name=card.video,
        peak=format_clock(card.peak_s),
        alike=icon("alike"),
    )


def draw_shot(card: MomentCard, number: int | None = None, *, is_urgent: bool = False) -> Markup:
    """Return one moment that plays where it is clicked, on a page with a `Player`.

    Args:
        number: Of the citation.
        is_urgent: Whether the still is fetched before it comes into view.
    """
    span = span_text(card.start_s, card.end_s)
    unsure = "" if card.is_confirmed else "not confirmed"
    words = ", ".join(filter(None, (card.video, span, card.about, unsure)))
    query = urlencode({"v": card.video_id, "t": card.start_s, "end": card.end_s})
    badge = Markup('<span class="badge">{}</span>').format(unsure) if unsure else ""
    cited = Markup('<span class="number" aria-hidden="true">{}</span>').format(number or "")
    filmed = filmed_text(card.start_at, card.start_source) if card.start_at else card.video
    return Markup(
        '<article class="moment{}"><a class="shot" href="/ui/watch?{}" data-start="{}" '
        'aria-label="Play {}">{}<span class="stamp">{}</span>{}{}</a>'
        '<div class="about">{}<span title="{}">{}</span>{}</div></article>'
    ).format(
        "" if card.is_confirmed else " unsure",
        query,
        card.start_s,
        words,
        still(f"/media/{card.video_id}/frame.jpg?t={card.peak_s:.1f}&w=320", is_urgent=is_urgent),
        span,
        cited if number else "",
        badge,
        _when(card.start_at[11:19]) if card.start_at else NOTHING,
        filmed,
        card.about or card.video,
        _verdict(card),
    )


def _when(clock: str) -> Markup:
    return Markup('<span class="when mono">{}</span>').format(clock)


def _verdict(card: MomentCard) -> Markup:
    if card.verdict is None:
        return NOTHING
    return draw_verdict(card.verdict, f"{card.video} {span_text(card.start_s, card.end_s)}")
