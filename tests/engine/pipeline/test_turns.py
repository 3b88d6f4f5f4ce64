"""Turns at the model: in the order in which they are asked for, whoever had the last."""

import threading

import pytest

from engine.pipeline.turns import Turns
from tests.support.waiting import wait_until


def test_turns_are_given_in_the_order_in_which_they_are_asked_for() -> None:
    turns, order = Turns(), []

    def ask(name: str) -> None:
        with turns.taken():
            order.append(name)

    threads = []
    with turns.taken():
        for place, name in enumerate("abcdefgh"):
            threads.append(threading.Thread(target=ask, args=(name,)))
            threads[-1].start()
            wait_until(lambda place=place: turns.n_waiting == place + 1)
    # Who has had a turn is behind all who wait.
    ask("again")
    for thread in threads:
        thread.join()
    assert order == [*"abcdefgh", "again"]
    assert turns.n_waiting == 0


def test_body_that_fails_gives_its_turn_back() -> None:
    turns = Turns(2)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), turns.taken():
            raise ZeroDivisionError
    with turns.taken(), turns.taken():
        assert turns.n_waiting == 0
