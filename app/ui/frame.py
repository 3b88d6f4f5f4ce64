"""The frame of every page: head, logo, navigation."""

from pathlib import Path
from typing import Final

STATIC_FILES: Final = Path(__file__).parent / "static"

LOGO: Final = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.9" '
    'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
    '<path d="M9 21l1.2-10h3.6L15 21M8 21h8M9.5 11h5V7.6L12 5.5 9.5 7.6zM4 7l2.5 1M20 7l-2.5 1'
    'M4 12l2.5-1M20 12l-2.5-1"/></svg>'
)

# Before anything is drawn: no flash of the wrong colours.
THEME_SCRIPT: Final = (
    "(function(){var t=null;try{t=localStorage.getItem('lw-theme')}catch(e){}"
    "document.documentElement.dataset.theme=t||"
    "(matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light')})()"
)

HEAD: Final = (
    '<link rel="icon" href="/favicon.svg">'
    + "".join(
        f'<link rel="stylesheet" href="/assets/{name}.css">'
        for name in ("tokens", "shell", "player", "pages")
    )
    + f"<script>{THEME_SCRIPT}</script>"
)


def draw_frame(key: str, title: str, pages: tuple[tuple[str, str, str], ...]) -> str:
    """A page's frame, before its part is mounted.

    Args:
        key: Names the part, a file of `static/pages`.
        title: Its heading for those who cannot see.
        pages: Key, title and address of every page.
    """
    links = "".join(
        f'<a href="{address}"{" aria-current=page" if name == key else ""}>{text}</a>'
        for name, text, address in pages
    )
    return (
        f'<div class="lw" data-page="{key}">'
        '<a class="skip" href="#lw-main">Skip to the page</a>'
        f'<header class="bar"><a class="brand" href="/ui/">{LOGO}<span>Longwatch</span></a>'
        f'<nav aria-label="Pages">{links}</nav><div class="end"></div></header>'
        f'<section class="page" id="lw-main" aria-label="{title}" aria-busy="true" tabindex="-1">'
        f'<div class="loading"><h1>{title}</h1><p class="faint">Loading …</p></div></section>'
        '<div class="toasts" role="status" aria-live="polite"></div></div>'
    )
