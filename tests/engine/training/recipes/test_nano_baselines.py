from pathlib import Path

import pytest

from engine.errors import NotFoundError
from engine.training.recipes import nano_baselines


def test_the_nano_run_is_named_relative_to_the_output_folder(tmp_path: Path) -> None:
    (tmp_path / nano_baselines.CONFIG).write_text('{"nano": "../nano"}')
    assert nano_baselines.nano_folder(tmp_path) == tmp_path / ".." / "nano"


def test_a_run_that_names_no_nano_run_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no"):
        list(nano_baselines.run(tmp_path, resume=False))


def test_a_file_without_the_folder_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / nano_baselines.CONFIG).write_text("{}")
    with pytest.raises(NotFoundError, match="names no nano run"):
        nano_baselines.nano_folder(tmp_path)
