"""Parts of a camera's timeline: what was filmed keeps its time when this machine's clock is set."""

import pytest

from engine.media.live import PART_S, SETTLES_S, LivePart, PartClock

NOON = 1_800_000_000.0


def _parts(clock: PartClock, seconds: range, zero_at_s: float) -> list[LivePart]:
    """Take a keyframe a second; return each part as it was known last."""
    known = {
        part.ordinal: part
        for part in (clock.take(float(at), zero_at_s, may_begin=True) for at in seconds)
    }
    return [*known.values()]


@pytest.mark.parametrize("step_s", [-3600.0, -2.0, 2.0, 3600.0])
def test_clock_that_is_set_begins_a_part_and_leaves_what_was_filmed_where_it_was(
    step_s: float,
) -> None:
    clock = PartClock(PART_S)
    before = _parts(clock, range(100), NOON)
    after = _parts(clock, range(100, 4000), NOON + step_s)
    assert before == [LivePart(ordinal=0, start_at_s=NOON)]
    assert after == [LivePart(ordinal=1, start_at_s=NOON + step_s + 100)]


def test_beginning_of_a_young_part_is_corrected_and_of_an_old_one_stays() -> None:
    clock = PartClock(PART_S)
    clock.take(7.0, NOON, may_begin=True)
    assert clock.take(8.0, NOON - 4, may_begin=True).start_at_s == NOON + 3
    late = clock.take(7.0 + SETTLES_S + 1, NOON - 4.5, may_begin=True)
    assert (late.ordinal, late.start_at_s) == (0, NOON + 3)


def test_part_begins_at_a_keyframe_alone() -> None:
    clock = PartClock(60.0)
    clock.take(0.0, NOON, may_begin=True)
    assert clock.take(61.0, NOON, may_begin=False).ordinal == 0
    assert clock.take(62.0, NOON, may_begin=True) == LivePart(ordinal=1, start_at_s=NOON + 62)
