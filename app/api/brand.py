"""The mark, the colours of first paint and the folder of files that every page of ours shares."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

STATIC_FILES: Final = Path(__file__).parents[1] / "ui" / "static"

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

NO_PAGE: Final = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>No such page · Longwatch</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/favicon.svg"><link rel="stylesheet" href="/assets/tokens.css">
<link rel="stylesheet" href="/assets/shell.css"><link rel="stylesheet" href="/assets/sign-in.css">
<script>{THEME_SCRIPT}</script></head><body>
<div class="lw door"><main><h1>There is no such page</h1>
<p class="muted">The address may be mistyped, or the page has moved.</p>
<p><a class="button" href="/ui/">Open the library</a></p></main></div></body></html>"""
"""What a browser shows for an address of no page."""


@cache
def assets_path() -> str:
    """Return the address of our files: another one for other contents, so that browsers keep them.

    Cost: reads the scripts and styles once, some 150 kB.
    """
    digest = sha256()
    for path in sorted(STATIC_FILES.rglob("*.[cj]s*")):
        digest.update(path.name.encode() + path.read_bytes())
    return f"/assets/{digest.hexdigest()[:12]}"
