"""Print: read where it changes, one row while it stands, within a budget."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from engine.sight.observer import ObserverConfig, open_observer
from engine.sight.observers.text import TextObserver, _Budget, _Print, joined
from tests.support.footage import DrawnFootage, observed


@pytest.fixture(scope="module")
def observer() -> TextObserver:
    opened = open_observer("text", ObserverConfig(models=Path()))
    assert isinstance(opened, TextObserver)
    return opened


def sign(*lines: str) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.new("RGB", (640, 360), (40, 60, 90))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 40)
    for idx, line in enumerate(lines):
        ImageDraw.Draw(image).text((60, 60 + 48 * idx), line, (240, 240, 230), font)
    return np.asarray(image)


def test_print_is_one_row_while_it_stands(observer: TextObserver) -> None:
    opens, closed = sign("WE OPEN AT", "NINE"), sign("CLOSED")
    film = DrawnFootage(lambda time_s: opens if time_s < 5 else closed, 9.0)
    first, second = observed(observer, film)
    assert (first.text, first.span.start_s, first.span.end_s) == ("WE OPEN AT NINE", 0.0, 5.0)
    assert (second.text, second.span.start_s, second.span.end_s) == ("CLOSED", 5.0, 9.0)
    (box,) = first.boxes
    assert 0.05 < box.left < 0.12
    assert 0.15 < box.top < box.bottom < 0.6


def test_still_pictures_are_read_once(observer: TextObserver) -> None:
    film = DrawnFootage(lambda time_s: sign("EXIT 12"), 40.0)
    (row,) = observed(observer, film)
    assert (row.text, row.n_looked, row.span.end_s) == ("EXIT 12", 1, 40.0)


def test_clock_is_another_print_every_second(observer: TextObserver) -> None:
    film = DrawnFootage(lambda time_s: sign(f"00:00:{round(time_s):02d}"), 3.0)
    assert [row.text for row in observed(observer, film)] == ["00:00:00", "00:00:01", "00:00:02"]


def test_budget_is_kept_over_hours_and_thins_where_nothing_stands() -> None:
    def spent(has_print: bool) -> int:
        budget, n_read = _Budget(5.0, 30.0, 0.0), 0
        for second in range(3600):
            if budget.allows(float(second)):
                budget.spend(float(second), has_print=has_print)
                n_read += 1
        return n_read

    assert 720 <= spent(True) <= 751
    assert 180 <= spent(False) <= 240


def test_lines_below_each_other_are_one_text() -> None:
    def line(text: str, left: float, top: float) -> _Print:
        return _Print(
            text=text, confidence=0.9, left=left, top=top, right=left + 0.3, bottom=top + 0.05
        )

    lines = [line("PRESENTS", 0.1, 0.26), line("THE PEACH", 0.1, 0.2), line("EXIT", 0.6, 0.2)]
    lines.append(line("far below", 0.1, 0.8))
    assert {block.text for block in joined(lines)} == {"THE PEACH PRESENTS", "EXIT", "far below"}


def test_a_cut_is_read_however_scarce_the_budget() -> None:
    budget = _Budget(5.0, 30.0, 0.0)
    for second in range(40):
        if budget.allows(float(second)):
            budget.spend(float(second), has_print=False)
    assert not budget.allows(40.0)
    assert budget.allows(40.0, is_cut=True)
