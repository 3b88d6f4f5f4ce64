"""The web tests' server: a library that is read once, and a copy of it for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import Library, Site, make_library, open_site


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Two videos, an admin and a viewer; reading the videos takes seconds."""
    return make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture
def site(library: Library, tmp_path: Path) -> Iterator[Site]:
    """A server over a library of its own: what a test does to it, no other test can see."""
    with open_site(library, tmp_path / "site") as opened:
        yield opened
