"""Every golden case agrees: the cases that `make parity` prints line by line."""

from pathlib import Path

import pytest

from tests.parity.__main__ import GOLDEN, main
from tests.parity._case import cases, families

CASES = [pytest.param(name, path, id=f"{name}/{path.name}") for name, path in cases(GOLDEN)]


@pytest.mark.parametrize(("family", "folder"), CASES)
def test_golden_case_agrees(family: str | None, folder: Path) -> None:
    assert family is not None, f"no parity file knows the case {folder.name}"
    quantities = families()[family].run(folder)
    assert quantities
    off = {key: quantity for key, quantity in quantities.items() if not quantity.is_ok}
    assert not off


def test_every_parity_file_has_cases() -> None:
    assert {case.values[0] for case in CASES} == set(families())


def test_unknown_case_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text("{}")
    assert main([str(tmp_path)]) == 2


def test_missing_folder_exits_with_2(tmp_path: Path) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
