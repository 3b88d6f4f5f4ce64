"""The web tests' server: one for all, because reading two videos takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import Site, open_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a library of two videos; tests that change it put back what they took."""
    home: Path = tmp_path_factory.mktemp("site")
    with open_site(home) as opened:
        yield opened
