"""The frame of every page: head, logo, navigation, account."""

import json
from typing import Final
from urllib.parse import quote

import gradio as gr
from markupsafe import Markup

from app.api.auth import Principal
from app.api.brand import LOGO, STATIC_FILES, THEME_SCRIPT, assets_path
from app.api.deps import AppContext
from app.schemas.alerts import AlertsResponse
from app.services.alerts import list_alerts
from app.services.models import active_model
from app.ui.caller import as_sentences, require_reader
from app.ui.components.base import OwnComponent
from app.ui.markup import NOTHING, icon, menu


def head() -> str:
    """Return what every page has in its `<head>`."""
    return (
        f'<link rel="icon" href="{_icon()}"><link rel="stylesheet" '
        f'href="{assets_path()}/site.css"><script>{THEME_SCRIPT}</script>'
    )


def _icon() -> str:
    """Return the picture of the tab, in the page itself: one request less."""
    return f"data:image/svg+xml,{quote((STATIC_FILES / 'favicon.svg').read_text('utf-8').strip())}"


PAGES: Final = (
    ("library", "Library", "/ui/"),
    ("cameras", "Cameras", "/ui/cameras"),
    ("watch", "Watch & ask", "/ui/watch"),
    ("moments", "Moments", "/ui/moments"),
    ("search", "Search", "/ui/search"),
    ("probe", "Probe", "/ui/probe"),
    ("alerts", "Alerts", "/ui/alerts"),
    ("jobs", "Jobs", "/ui/jobs"),
    ("settings", "Settings", "/ui/settings"),
    ("models", "Models", "/ui/models"),
)
"""Part, title, address."""
BESIDE: Final = frozenset({"models"})
"""Pages that stand in the menu of the account, not in the bar."""
MOST_TOLD: Final = 9
"""Alerts that a browser notifies of at a time."""


class Header(OwnComponent):
    """The bar of a page: brand, navigation, model, colours and account."""

    script = "shell"

    def __init__(self, key: str, context: AppContext) -> None:
        """Draw the bar with one page marked as the present one."""
        self._key, self._context = key, context
        super().__init__(self._draw(_UPLOADS), elem_classes=["lw-head"])

    def show(self, request: gr.Request) -> str:
        """Return the bar with the model and the user."""
        with as_sentences(request):
            principal = require_reader(request)
            end = _UPLOADS + _model(self._context, principal) + _COLOURS + _account(principal)
            services = self._context.services
            return self._draw(
                end, list_alerts(services, principal, states=("open",), limit=MOST_TOLD)
            )

    def _draw(self, end: Markup, raised: AlertsResponse | None = None) -> str:
        links = Markup("").join(
            Markup('<a href="{}"{}>{}{}</a>').format(
                address,
                Markup(' aria-current="page"') if name == self._key else "",
                text,
                _count(raised) if name == "alerts" else "",
            )
            for name, text, address in PAGES
            if name not in BESIDE
        )
        return str(
            Markup(
                '<div class="lw part"><a class="skip" href="#lw-main">Skip to the page</a>'
                '<header class="bar"><a class="brand" href="/ui/">{}<span>Longwatch</span></a>'
                '<nav aria-label="Pages">{}</nav><div class="end">{}</div></header>'
                '<div class="cut-off" role="alert"><p class="signed-out">You are signed out. '
                '<button type="button" data-reload>Sign in again</button></p>'
                '<p class="lost">The server cannot be reached; what is shown may be old.</p></div>'
                '<div class="toasts" role="status" aria-live="polite"></div></div>'
            ).format(Markup(LOGO), links, end)
        )


def _count(raised: AlertsResponse | None) -> Markup:
    """Return how many alerts nobody has answered, with the latest for the browser to tell of."""
    if raised is None:
        return Markup('<span class="count" hidden></span>')
    latest = [(alert.alert_id, alert.rule, alert.reason) for alert in raised.alerts]
    return Markup(
        '<span class="count" aria-label="{} unanswered" data-raised="{}"{}>{}</span>'
    ).format(
        raised.open,
        json.dumps(latest),
        NOTHING if raised.open else Markup(" hidden"),
        "99+" if raised.open > 99 else raised.open,
    )


_UPLOADS: Final = Markup('<a class="badge accent" id="lw-share" href="/ui/" hidden></a>')
_COLOURS: Final = Markup("").join(
    Markup(
        '<button type="button" class="quiet icon to-{0}" data-colours="{0}" '
        'aria-label="Use {0} colours">{1}</button>'
    ).format(theme, icon(theme))
    for theme in ("dark", "light")
)


def _model(context: AppContext, principal: Principal) -> Markup:
    model = active_model(context.settings, principal)
    badge = Markup('<a class="badge wide-only" href="/ui/models" title="{}">{}</a>').format(
        model.detail, f"model {model.name}" if model.ready else "no model"
    )
    if context.settings.allow_network:
        return badge
    return badge + Markup(
        '<span class="badge wide-only" title="No outbound request is made. Settings lists what '
        'ever would be.">offline</span>'
    )


def _account(principal: Principal) -> Markup:
    user = principal.user
    face = icon("person") + Markup('<span class="wide-only">{}</span>').format(user.name)
    items = (
        Markup('<a class="button quiet" href="/ui/settings">Signed in as {}</a>').format(user.role),
        Markup('<a class="button quiet" href="/ui/models">Models</a>'),
        Markup('<button type="button" class="quiet" data-notify>Notify of alerts here</button>'),
        Markup('<button type="submit" form="lw-leave" class="quiet">Sign out</button>'),
    )
    form = Markup(
        '<form id="lw-leave" method="post" action="/sign-out" hidden>'
        '<input type="hidden" name="csrf" value="{}"></form>'
    ).format(principal.csrf)
    return menu("lw-account", f"Account of {user.name}", face, items) + form
