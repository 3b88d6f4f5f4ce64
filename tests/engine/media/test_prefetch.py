"""Prefetch: same items, bounded, errors carried, stops when told."""

from collections.abc import Iterator

import pytest

from engine.media.prefetch import Prefetch


def test_items_arrive_in_order() -> None:
    with Prefetch(iter(range(50)), depth=3) as ahead:
        assert list(ahead) == list(range(50))


def test_error_of_the_source_reaches_the_consumer() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("cable cut")

    with Prefetch(source()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(OSError, match="cable cut"):
            next(ahead)
        assert list(ahead) == []


def test_never_runs_further_ahead_than_its_depth() -> None:
    taken = []

    def source() -> Iterator[int]:
        for index in range(100):
            taken.append(index)
            yield index

    ahead = Prefetch(source(), depth=2)
    assert next(ahead) == 0
    ahead.close()
    assert len(taken) <= 1 + 2 + 1
