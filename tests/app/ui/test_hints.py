"""Hints of services in the words of the web: no command where a page does the same."""

import pytest

from app.services.access import FULL_ACCESS
from app.ui.hints import ASK_AN_ADMIN, web_hint
from tests.app.services.test_library_query import Some


@pytest.mark.parametrize(
    ("hint", "admin", "viewer"),
    [
        (None, None, None),
        ("describe it in words", "describe it in words", "describe it in words"),
        (
            "`longwatch ingest VIDEO` or the library page adds videos",
            "the library page adds videos",
            "the library page adds videos",
        ),
        (
            "`longwatch videos list` shows what there is; set `media.timezone`",
            "the library shows what there is; set media.timezone",
            "the library shows what there is; set media.timezone",
        ),
        (
            "run `longwatch videos reindex`, then ingest the video again",
            "run the command “longwatch videos reindex”, then ingest the video again",
            ASK_AN_ADMIN,
        ),
        (
            "`longwatch ingest /srv/cameras/door.mp4` reads what is missing",
            "“Go on reading” in the library reads what is missing",
            "“Go on reading” in the library reads what is missing",
        ),
    ],
)
def test_hint_names_what_its_reader_can_do(
    hint: str | None, admin: str | None, viewer: str | None
) -> None:
    assert web_hint(hint, FULL_ACCESS) == admin
    assert web_hint(hint, Some()) == viewer
