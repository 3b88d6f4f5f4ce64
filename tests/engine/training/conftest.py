"""A finished tiny run of nano, for every test that builds on one."""

from pathlib import Path

import pytest

from engine.training.nano.run import run_nano
from tests.support.short_training import TINY_NANO


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano") / "nano"
    list(run_nano(TINY_NANO, folder, resume=False))
    return folder
