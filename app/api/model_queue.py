"""The queue in front of the model: bounded, fair between users, and passed on in long answers.

Decision: an answer passes the model on between two tokens once it has held it for
`limits.turn_s` and others wait; it goes on when its next turn comes. So one question never holds
the model for others beyond that time and the step under way: a search, or the reading of a
question, which `limits.prompt_tokens` bounds, cannot be interrupted.
Decision: of those who wait, the user who was served longest ago goes first, so that whoever asks
much waits behind everybody else's first question.
Decision: where answers decode in common steps (`engine/models/layers/shared_steps.py`) an answer
hands the model on with its first token and decodes beside the others: eight questions cost little
more than one. Searches and the reading of questions still have the model one after the other.
Decision: the last place beside others is for users who have none, so that whoever asks much cannot
keep everybody else out.
Decision: at most `MAX_BEGUN` answers are under way at once, because each holds the chunks that it
recalled in memory. When so many are, newcomers wait until one of them ends.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.errors import BusyError
from storage.records import UserId

Step = TypeVar("Step")

MAX_BEGUN: Final = 8


@dataclass(slots=True, eq=False)
class Waiter:
    """A place in the line."""

    user: UserId
    is_begun: bool
    """Whether an answer is under way that was passed over."""
    granted: anyio.Event = field(default_factory=anyio.Event)


class ModelQueue:
    """A queue in front of the model, which runs one step of one question at a time.

    For one event loop.
    """

    def __init__(
        self,
        most_waiting: int,
        *,
        turn_s: Callable[[], float],
        shares_steps: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start empty.

        Args:
            most_waiting: Questions that may wait or be answered; further ones are refused.
            turn_s: Seconds that a question may hold the model while others wait, as of now.
            shares_steps: Whether answers of the loaded model decode in common steps.
        """
        self._most_waiting, self._turn_s = most_waiting, turn_s
        self._shares_steps = shares_steps
        self._beside: list[UserId] = []
        """Users of the answers that decode beside each other."""
        self._is_held = False
        self._waiters: list[Waiter] = []
        self._served_at: dict[UserId, float] = {}
        self.waiting = 0
        """Questions that wait or are answered."""

    def ahead_of(self, user: UserId) -> int:
        """Return how many questions come before the next one of a user, as far as is known."""
        counts: dict[UserId, int] = {}
        for waiter in self._waiters:
            counts[waiter.user] = counts.get(waiter.user, 0) + 1
        own = counts.pop(user, 0)
        return (
            int(self._is_held or not self._has_room_for(user))
            + own
            + sum(min(count, own + 1) for count in counts.values())
        )

    def wait_s(self, user: UserId) -> float:
        """Return the longest wait for the first turn of a user's next question, in seconds.

        Steps that cannot be interrupted come on top.
        """
        return self.ahead_of(user) * self._turn_s()

    @asynccontextmanager
    async def slot(self, user: UserId) -> AsyncIterator["ModelTurn"]:
        """Hold the model while the body runs.

        Raises:
            BusyError: The queue is full.
        """
        if self.waiting >= self._most_waiting:
            raise BusyError(
                f"{self.waiting} questions are waiting already", hint="try again in a moment"
            )
        self.waiting += 1
        turn = ModelTurn(self, user)
        try:
            await turn.begin()
            yield turn
        finally:
            turn.end()
            self.waiting -= 1

    async def answer(
        self, user: UserId, start: Callable[[], Iterator[Step]]
    ) -> AsyncGenerator[Step, None]:
        """Yield the steps of an answer, in the turns of its user.

        Args:
            start: Called in a thread, as every step is: the model may have to be loaded first.
        Raises:
            BusyError: The queue is full.
        """
        async with self.slot(user) as turn:
            steps = await run_in_threadpool(start)
            async for step in iterate_in_threadpool(steps):
                yield step
                if self._shares_steps():
                    turn.share()
                elif self._waiters and turn.held_s >= self._turn_s():
                    await turn.pass_on()

    def line_up(self, user: UserId, *, is_begun: bool) -> Waiter:
        """Return a new place in the line; it is granted at once where nobody holds the model."""
        waiter = Waiter(user, is_begun)
        self._waiters.append(waiter)
        if not self._is_held:
            self.give()
        return waiter

    async def wait(self, waiter: Waiter) -> None:
        """Wait until the model is granted; a cancelled wait leaves nothing behind."""
        try:
            await waiter.granted.wait()
        except BaseException:
            if waiter.granted.is_set():
                self.give()
            else:
                self._waiters.remove(waiter)
            raise

    def give(self) -> None:
        """Hand the model to whoever is next."""
        begun = [waiter for waiter in self._waiters if waiter.is_begun]
        candidates = begun
        if len(begun) + len(self._beside) < MAX_BEGUN:
            candidates = [
                waiter
                for waiter in self._waiters
                if waiter.is_begun or self._has_room_for(waiter.user)
            ]
        self._is_held = bool(candidates)
        if not candidates:
            return
        # The first of equals is the one that has waited longest.
        following = min(candidates, key=lambda waiter: self._served_at.get(waiter.user, 0.0))
        self._waiters.remove(following)
        self._served_at[following.user] = time.monotonic()
        following.granted.set()

    def share(self, user: UserId) -> None:
        """Count an answer among those that decode beside each other, and hand the model on."""
        self._beside.append(user)
        self.give()

    def end_shared(self, user: UserId) -> None:
        """Give the place of an answer that decoded beside others to whoever waits for one."""
        self._beside.remove(user)
        if not self._is_held:
            self.give()

    def _has_room_for(self, user: UserId) -> bool:
        """Tell whether another answer of a user may decode beside those under way."""
        n_free = MAX_BEGUN - len(self._beside)
        return n_free > 1 or (n_free == 1 and user not in self._beside)


class ModelTurn:
    """The time that one question holds the model."""

    def __init__(self, model_queue: ModelQueue, user: UserId) -> None:
        self._queue, self._user = model_queue, user
        self._since: float | None = None
        self._is_shared = False

    @property
    def held_s(self) -> float:
        """Seconds since this turn began."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def begin(self) -> None:
        """Wait for the model."""
        await self._wait(self._queue.line_up(self._user, is_begun=False))

    async def pass_on(self) -> None:
        """Let others go first, and wait for the next turn."""
        # In the line before the model is handed on: an answer under way counts among them.
        waiter = self._queue.line_up(self._user, is_begun=True)
        self.end()
        await self._wait(waiter)

    def share(self) -> None:
        """Let others begin while this answer decodes beside theirs; once is enough."""
        if self._since is not None:
            self._since, self._is_shared = None, True
            self._queue.share(self._user)

    async def _wait(self, waiter: Waiter) -> None:
        await self._queue.wait(waiter)
        self._since = time.monotonic()

    def end(self) -> None:
        """Hand the model on, if this turn holds it, or the place beside others."""
        if self._is_shared:
            self._is_shared = False
            self._queue.end_shared(self._user)
        elif self._since is not None:
            self._since = None
            self._queue.give()
