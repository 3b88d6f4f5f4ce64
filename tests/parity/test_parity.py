"""Every golden case agrees; this is what `make parity` prints line by line."""

from pathlib import Path

import pytest

from tests.parity.__main__ import GOLDEN, main
from tests.parity._case import cases, families

CASES = [pytest.param(name, path, id=f"{name}/{path.name}") for name, path in cases(GOLDEN)]


@pytest.mark.parametrize(("family", "folder"), CASES)
def test_golden_case_agrees(family: str | None, folder: Path) -> None:
    if family is None:
        pytest.skip(f"no parity file knows {folder.name} yet")
    off = {key: q for key, q in families()[family].run(folder).items() if not q.is_ok}
    assert not off


def test_unknown_case_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text("{}")
    assert main([str(tmp_path)]) == 2


def test_missing_folder_exits_with_2(tmp_path: Path) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
