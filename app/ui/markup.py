"""Pieces of markup that more than one page shows; whatever comes from data is escaped."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from markupsafe import Markup

from app.schemas.common import LeftOutItem
from app.timefmt import clock_text, format_clock

_SHAPES: Final = {
    "film": "M3 5h18v14H3zM7 5v14M17 5v14M3 9.5h4M3 14.5h4M17 9.5h4M17 14.5h4",
    "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
    "alike": "M4 4h9v9H4zM11 15v5h9v-9h-5",
    "list": "M4 6h16M4 12h16M4 18h10",
    "grid": "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
    "play": "M7 4.5v15l12-7.5z",
    "pause": "M8 5v14M16 5v14",
    "sound": "M4 9.5v5h3.5L12 19V5L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a7.5 7.5 0 0 1 0 11",
    "silent": "M4 9.5v5h3.5L12 19V5L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
    "link": "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1"
    "M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
    "close": "M6 6l12 12M18 6L6 18",
    "full": "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
    "left": "M15 5l-7 7 7 7",
    "right": "M9 5l7 7-7 7",
    "check": "M4.5 12.5l5 5L19.5 7",
    "up": "M12 16V4M7 9l5-5 5 5M4 20h16",
    "more": "M12 6h.01M12 12h.01M12 18h.01",
    "person": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 21a7.5 7.5 0 0 1 15 0",
    "light": "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4"
    "M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
    "dark": "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
}
_ORIGINS: Final = {
    "user": "set by a user",
    "recorder": "recorder header",
    "file_name": "file name",
    "container": "container tag",
    "chapter": "the part before",
    "live": "opening of the feed",
}
_REASONS: Final = {
    "damaged": "damaged",
    "other_model": "read by another model",
    "away": "not reached",
}
NOTHING: Final = Markup("")


def icon(name: str) -> Markup:
    """Return a drawing of one line width, for those who see it only."""
    return Markup(
        '<svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" '
        'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><path d="{}"/></svg>'
    ).format(_SHAPES[name])


def menu(key: str, label: str, face: Markup, items: Iterable[Markup], *, kind: str = "") -> Markup:
    """Return a button and the list that the browser opens behind it; keys walk it (`shell.js`).

    Args:
        key: The id of the button.
        label: The button in words.
        face: What is seen of it.
        items: A link or a button each (`menu_button`).
        kind: Classes of the button.
    """
    rows = Markup("").join(Markup("<li>{}</li>").format(item) for item in items)
    return Markup(
        '<div class="menu"><button type="button" class="quiet {kind}" id="{key}" '
        'aria-haspopup="true" popovertarget="{key}-items" aria-label="{label}">{face}</button>'
        '<ul popover id="{key}-items" data-walk="li > *" data-across="1">{rows}</ul></div>'
    ).format(kind=kind, key=key, label=label, face=face, rows=rows)


def menu_button(name: str, text: str, /, *, kind: str = "", **data: str) -> Markup:
    """Return an item of a menu, which is closed by it: its button has the focus again.

    Args:
        name: The id of the button of the menu.
        data: Attributes that say what it does.
    """
    attributes = Markup("").join(
        Markup(' data-{}="{}"').format(field, value) for field, value in data.items()
    )
    return Markup(
        '<button type="button" class="quiet {}" popovertarget="{}-items" '
        'popovertargetaction="hide"{}>{}</button>'
    ).format(kind, name, attributes, text)


def asked_first(text: str, question: str, words: str = "", **data: str) -> Markup:
    """Return a button that does something once the question behind it is answered.

    Args:
        question: Names the thing; the browser opens it beside the button.
        words: What becomes of it.
        data: Attributes that say what it does, to the button that answers.
    """
    name = f"sure-{blake2b(repr((question, data)).encode(), digest_size=6).hexdigest()}"
    rest = Markup("<p>{}</p>").format(words) if words else NOTHING
    return Markup(
        '<div class="menu"><button type="button" class="quiet danger" id="{name}" '
        'aria-haspopup="dialog" popovertarget="{name}-items" aria-label="{label}">{text}</button>'
        '<div popover id="{name}-items" role="dialog" aria-label="{question}" class="sure">'
        '<strong>{question}</strong>{rest}<div class="row">{go}'
        '<button type="button" class="quiet" popovertarget="{name}-items" '
        'popovertargetaction="hide" autofocus>Leave it</button></div></div></div>'
    ).format(
        name=name,
        label=question.rstrip("?"),
        text=text,
        question=question,
        rest=rest,
        go=menu_button(name, text, kind="danger", **data),
    )


def still(address: str, *, is_urgent: bool = False) -> Markup:
    """Return the picture of a moment, and behind it what is shown where none is kept.

    Args:
        is_urgent: Whether it is fetched before it comes into view.
    """
    return Markup(
        '<img class="still" src="{}" alt="" loading="{}" decoding="async" width="320" height="180">'
        '<span class="still none">no picture is kept</span>'
    ).format(address, "eager" if is_urgent else "lazy")


def part(*markup: Markup, kind: str = "") -> str:
    """Return pieces as the value of a `gr.HTML`, in our own type and measures."""
    return str(Markup('<div class="lw part {}">{}</div>').format(kind, Markup("").join(markup)))


def heading(title: str, *, note: str | None = None) -> str:
    """Return the heading of a page, with a sentence beside it."""
    beside = Markup('<p class="model-note faint">{}</p>').format(note) if note else NOTHING
    return part(Markup("<h1>{}</h1>{}").format(title, beside), kind="head")


def empty(shape: str, title: str, words: str, *actions: Markup) -> Markup:
    """Return what stands where there is nothing to show, and what to do about it."""
    row = Markup('<div class="row">{}</div>').format(Markup("").join(actions)) if actions else ""
    return Markup('<div class="panel empty">{}<h2>{}</h2><p>{}</p>{}</div>').format(
        icon(shape), title, words, row
    )


def problem(message: str, hint: str | None = None) -> Markup:
    """Return a sentence about what went wrong, and what can be done."""
    rest = Markup("<p>{}</p>").format(hint) if hint else NOTHING
    return Markup('<div class="note bad" role="alert"><strong>{}</strong>{}</div>').format(
        message, rest
    )


def left_out(items: list[LeftOutItem]) -> Markup:
    """Return what was asked for and could not be searched."""
    return Markup("").join(
        Markup('<p class="left-out">Not searched: {}, {}, {}. {}</p>').format(
            item.video, span_text(item.start_s, item.end_s), _REASONS[item.reason], item.hint
        )
        for item in items
    )


def span_text(start_s: float, end_s: float) -> str:
    """Return a span of media time as people read it."""
    return f"{format_clock(start_s)}\u2013{format_clock(end_s)}"


def filmed_text(start_at: str, source: str | None) -> str:
    """Return a moment in local time where it was filmed, with the origin of that clock."""
    origin = f" ({_ORIGINS.get(source, source)})" if source else ""
    return f"{clock_text(start_at)} {start_at[-6:]}{origin}"


def local_time(iso: str) -> Markup:
    """Return a moment that the browser shows on its own clock (`shell.js`)."""
    return Markup('<time datetime="{}" class="faint">{}</time>').format(iso, clock_text(iso))
