"""The picture of what was asked and what proves it."""

from pathlib import Path

import numpy as np
from PIL import Image

from app.cli.contact_sheet import ACCENT, CaptionedPicture, Row, write_contact_sheet


def test_proof_is_framed_and_context_is_not(tmp_path: Path) -> None:
    still = np.zeros((90, 160, 3), np.uint8)
    stills = (
        CaptionedPicture(pixels=still, caption="before", is_proof=False),
        CaptionedPicture(pixels=still, caption="0:00:01.000 - 0:00:04.000", is_proof=True),
    )
    write_contact_sheet(
        tmp_path / "sheet.png", "title", [Row(question="What?", answer="That.", stills=stills)]
    )
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    framed = np.all(pixels == ACCENT, axis=2).any(axis=0)
    assert framed[pixels.shape[1] // 3 :].any()
    assert not framed[: pixels.shape[1] // 3].any()


def test_row_without_proof_takes_only_its_words(tmp_path: Path) -> None:
    row = Row(question="What?", answer="Not found in 5 minutes of video.", stills=())
    write_contact_sheet(tmp_path / "sheet.png", "title", [row])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height < 200
