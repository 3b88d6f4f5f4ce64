"""The queue in front of the model: fair between users, and no question holds it for long."""

from collections.abc import Iterator

import anyio
import pytest

from app.api.model_queue import MAX_BEGUN, ModelQueue
from app.errors import BusyError
from storage.records import UserId

ADA, BEA, CY = map(UserId, ("ada", "bea", "cy"))


def _queue(
    *, most_waiting: int = 64, turn_s: float = 0.0, shares_steps: bool = False
) -> ModelQueue:
    return ModelQueue(most_waiting, turn_s=lambda: turn_s, shares_steps=lambda: shares_steps)


def _run(queue: ModelQueue, questions: list[tuple[UserId, str, int]]) -> list[str]:
    """The steps of questions that arrive in this order, as the model made them."""
    made: list[str] = []

    def steps(name: str, n: int) -> Iterator[str]:
        for step in range(n):
            made.append(f"{name}{step}")
            yield name

    async def main() -> None:
        async def ask(user: UserId, name: str, n: int) -> None:
            async for _ in queue.answer(user, lambda: steps(name, n)):
                pass

        async with anyio.create_task_group() as tasks:
            for user, name, n in questions:
                tasks.start_soon(ask, user, name, n)
                await anyio.sleep(0)

    anyio.run(main)
    assert queue.waiting == 0
    assert queue.ahead_of(ADA) == 0
    return made


def test_long_answer_lets_others_go_first_after_its_turn() -> None:
    made = _run(_queue(), [(ADA, "a", 4), (BEA, "b", 2), (CY, "c", 1)])
    assert made == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_answer_within_its_turn_is_not_interrupted() -> None:
    made = _run(_queue(turn_s=60.0), [(ADA, "a", 3), (BEA, "b", 2)])
    assert made == ["a0", "a1", "a2", "b0", "b1"]


def test_who_asks_much_waits_behind_the_first_question_of_everybody_else() -> None:
    many = [(ADA, name, 1) for name in "pqrs"]
    made = _run(_queue(turn_s=60.0), [*many, (BEA, "b", 1), (CY, "c", 1)])
    assert made == ["p0", "b0", "c0", "q0", "r0", "s0"]


def test_no_more_answers_are_under_way_than_memory_allows() -> None:
    names = [chr(ord("a") + place) for place in range(MAX_BEGUN + 3)]
    made = _run(_queue(), [(UserId(name), name, 3) for name in names])
    assert sorted(made) == sorted(f"{name}{step}" for name in names for step in range(3))
    for place in range(len(made)):
        begun = {step[0] for step in made[: place + 1]} - {
            step[0] for step in made[: place + 1] if step.endswith("2")
        }
        assert len(begun) <= MAX_BEGUN


def test_full_queue_refuses_and_a_cancelled_wait_leaves_nothing_behind() -> None:
    queue = _queue(most_waiting=2)

    async def main() -> None:
        async def wait() -> None:
            async with queue.slot(BEA):
                await anyio.sleep_forever()

        async with queue.slot(ADA):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                assert (queue.waiting, queue.ahead_of(CY), queue.ahead_of(BEA)) == (2, 2, 2)
                with pytest.raises(BusyError, match="2 questions are waiting"):
                    async with queue.slot(CY):
                        pass
                tasks.cancel_scope.cancel()
            assert (queue.waiting, queue.ahead_of(CY)) == (1, 1)
        async with queue.slot(CY):
            assert queue.ahead_of(ADA) == 1

    anyio.run(main)
    assert queue.waiting == 0


def test_wait_is_told_from_those_ahead_and_the_length_of_a_turn() -> None:
    queue = _queue(turn_s=7.0)

    async def main() -> None:
        assert queue.wait_s(BEA) == 0
        async with queue.slot(ADA):
            assert queue.wait_s(BEA) == 7.0

    anyio.run(main)


def test_answers_that_share_steps_run_beside_each_other() -> None:
    queue = _queue(turn_s=60.0, shares_steps=True)
    made = _run(queue, [(ADA, "a", 300), (BEA, "b", 2)])
    assert made[0] == "a0"
    assert made.index("b1") < made.index("a299"), "b began while a was under way"
    assert len(made) == 302


def _under_way(queue: ModelQueue, users: list[UserId]) -> list[UserId]:
    """The users of endless answers, one each, that have begun after all have asked."""
    begun: list[UserId] = []

    async def main() -> None:
        async def ask(user: UserId) -> None:
            async with queue.slot(user) as turn:
                begun.append(user)
                turn.share()
                await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            for user in users:
                tasks.start_soon(ask, user)
                await anyio.sleep(0)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert queue.waiting == 0
    assert queue.ahead_of(ADA) == 0
    return begun


def test_no_more_answers_share_steps_than_memory_allows() -> None:
    users = [UserId(str(number)) for number in range(MAX_BEGUN + 3)]
    assert _under_way(_queue(shares_steps=True), users) == users[:MAX_BEGUN]


def test_last_place_beside_others_is_for_who_has_none() -> None:
    begun = _under_way(_queue(shares_steps=True), [ADA] * (MAX_BEGUN + 2) + [BEA, CY])
    assert begun == [ADA] * (MAX_BEGUN - 1) + [BEA]


def test_place_that_comes_free_goes_to_whoever_waits() -> None:
    queue = _queue(shares_steps=True)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            ends = [anyio.Event() for _ in range(MAX_BEGUN)]

            async def ask(number: int) -> None:
                async with queue.slot(UserId(str(number))) as turn:
                    turn.share()
                    await ends[number].wait()

            for number in range(MAX_BEGUN):
                tasks.start_soon(ask, number)
                await anyio.sleep(0)
            await anyio.wait_all_tasks_blocked()
            assert queue.ahead_of(BEA) == 1
            with anyio.move_on_after(0.01) as waited:
                async with queue.slot(BEA):
                    pass
            assert waited.cancelled_caught
            ends[3].set()
            with anyio.fail_after(5):
                async with queue.slot(BEA):
                    pass
            for end in ends:
                end.set()

    anyio.run(main)
    assert queue.waiting == 0
