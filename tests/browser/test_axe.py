"""axe-core finds no serious violation on any page, in either theme.

The checker is fetched from the npm registry when the tests run, and not kept in the repository.
"""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.services.benchmarks.web import RunningServer
from tests.browser.stage import open_page, ready

AXE = "axe-core@4.14.1"
PAGES = (
    "/ui/",
    "/ui/watch",
    "/ui/moments",
    "/ui/search?q=a+car",
    "/ui/probe",
    "/ui/alerts",
    "/ui/jobs",
    "/ui/cameras",
    "/ui/settings",
    "/ui/models",
)


@pytest.fixture(scope="package")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checker's script."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm to fetch {AXE} with")
    fetched = subprocess.run(
        [npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, timeout=60, check=False
    )
    packed = next(folder.glob("*.tgz"), None)
    if fetched.returncode or packed is None:
        pytest.skip(f"{AXE} cannot be fetched: no network, or no such release")
    return _script(packed)


def _script(packed: Path) -> str:
    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return file.read().decode()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_violation(
    browser: Any, stage: RunningServer, state: Any, axe: str, theme: str
) -> None:
    found = []
    with open_page(browser, stage, state, color_scheme=theme, bypass_csp=True) as page:
        for path in (*PAGES, "/sign-in"):
            if path == "/sign-in":
                page.goto(path)
            else:
                ready(page, path)
            page.add_script_tag(content=axe)
            result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            found += [
                f"{path}: {one['id']} ({one['nodes'][0]['html'][:160]})"
                for one in result["violations"]
                if one["impact"] in {"serious", "critical"}
            ]
    assert not found
