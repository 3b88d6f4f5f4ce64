"""What every test shares: where foreign recordings lie, and how many threads torch may take."""

import os
from pathlib import Path

import pytest

# Tiny layers on shared cores: a second thread is waited for longer than it works.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips; the test skips and says so where it is missing."""
    folder = Path(os.environ.get("LONGWATCH_TEST_DATA", "../shared/data")).resolve()
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no recordings at {folder}: set LONGWATCH_TEST_DATA")
    return folder
