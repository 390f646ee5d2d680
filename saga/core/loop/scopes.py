"""`async with scope()`: an exception that leaves it undoes only the steps inside, then goes on."""

from __future__ import annotations

import asyncio
import contextvars
import json
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from saga.core.intent import Intent
from saga.core.loop.events import Event
from saga.core.loop.loop import JournalLoop
from saga.core.loop.set_order import OrderedTask, innermost


@dataclass(slots=True)
class Started:
    """A step that was asked for inside a scope."""

    intent: Intent
    position: int
    after: int
    """The last event before it was asked for."""
    future: asyncio.Future[Event] | None
    """Its outcome; None if it was dropped before anybody could have begun it."""

    @property
    def event(self) -> Event | None:
        """What it settled with; only to be asked when `future` is done."""
        future = self.future
        return None if future is None or future.cancelled() else future.result()


class Scope:
    """The steps of one `async with scope()` block."""

    def __init__(self) -> None:
        self._started: list[Started] = []
        self.outer: Scope | None = None
        self.has_ended = False
        self._token: contextvars.Token[Scope | None] | None = None

    def add(self, started: Started) -> None:
        """A step was asked for in here, or in a task that outlived a scope in here."""
        if not self.has_ended:
            self._started.append(started)
        elif self.outer is not None:
            self.outer.add(started)

    async def __aenter__(self) -> Self:
        self.outer = innermost.get()
        self._token = innermost.set(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, GeneratorExit):
            return  # the coroutine is being thrown away
        if self._token is not None:
            innermost.reset(self._token)
        loop = running_loop()
        if error is not None and type(loop) is JournalLoop:
            await self._undo(loop)
        else:
            self._end()

    def _end(self) -> None:
        self.has_ended = True
        if self.outer is not None:
            for started in self._started:
                self.outer.add(started)
        self._started = []

    async def _undo(self, loop: JournalLoop) -> None:
        """What is still on its way ends first, as only then it is known what there is to undo."""
        kept = await self._stop(loop)
        self.has_ended = True
        left = _undoable(self._started)
        while left:
            wave = _last(left)
            left = [one for one in left if one not in wave]
            undos = [loop.journal.ask_undo(one.position, one.intent.undone()) for one, _ in wave]
            kept = await _all_done(loop, undos) or kept
        if kept is not None:
            raise kept

    async def _stop(self, loop: JournalLoop) -> asyncio.CancelledError | None:
        """Cancel the tasks inside, once as a TaskGroup does, and wait for them and their steps."""
        kept = None
        for task in self._tasks(loop):
            task.cancel()
        while left := [*self._tasks(loop), *_unsettled(self._started)]:
            # A step that was still waited for may be dropped meanwhile: then its future is new.
            kept = await _all_done(loop, left) or kept
        return kept

    def _tasks(self, loop: JournalLoop) -> list[OrderedTask]:
        """Those that were begun in here; those of a scope that goes on in here are its own."""
        return [task for task in loop.live_tasks() if _still_open(task.begun_in) is self]


def scope() -> Scope:
    """A block whose steps are undone together when an exception leaves it.

    ::

        try:
            async with scope():
                seat = await reserve_seat(flight)
                await charge(customer)
        except StepFailed:
            await apologise(customer)       # the seat has been given back by now

    First the tasks that were started in the block are cancelled, as by a TaskGroup: a child saga
    that is on its way undoes itself, a step that waits for a worker or its next attempt is given
    up, and one that runs is waited for. Then the undos run in reverse order of start, those of
    steps that overlapped together. A cancellation from outside stops no undo; it goes on after the
    last one. A block that ends normally leaves its steps to the scope, or saga, around
    it. Outside a saga nothing is undone.
    """
    return Scope()


def note(
    intent: Intent, position: int, after: int, future: asyncio.Future[Event]
) -> Started | None:
    """Tell the innermost scope, if there is one, of a step that was asked for."""
    around = innermost.get()
    if around is None:
        return None
    started = Started(intent, position, after, future)
    around.add(started)
    return started


def _undoable(steps: list[Started]) -> list[tuple[Started, int]]:
    """What may have happened, has an undo and came after the last pivot; with its last event."""
    ended = [(one, one.event) for one in steps]
    pivots = (event.number for one, event in ended if event and one.intent.pivot and _ok(event))
    last_pivot = max(pivots, default=0)
    return [
        (one, event.number)
        for one, event in ended
        if event and one.intent.has_undo and one.after >= last_pivot and _may_have_happened(event)
    ]


def _last(steps: list[tuple[Started, int]]) -> list[tuple[Started, int]]:
    """Those of which no other was started after they had ended."""
    latest = max(one.after for one, _ in steps)
    return [(one, until) for one, until in reversed(steps) if until > latest]


def _still_open(scope: Scope | None) -> Scope | None:
    """The scope to which what was begun in this one belongs by now."""
    while scope is not None and scope.has_ended:
        scope = scope.outer
    return scope


def _unsettled(steps: list[Started]) -> list[asyncio.Future[Event]]:
    return [one.future for one in steps if one.future and not one.future.done()]


class _Shield(asyncio.Future[None]):
    """Done when `waiters` are. A cancellation of the task that awaits it goes to the tasks among
    them, and is kept for later.
    """

    def __init__(self, loop: JournalLoop, waiters: Sequence[asyncio.Future[Any]]) -> None:
        super().__init__(loop=loop)
        self.kept: asyncio.CancelledError | None = None
        self._journal = loop.journal
        self._waiters = waiters
        self._left = len(waiters)
        for waiter in waiters:
            waiter.add_done_callback(self._count)

    def _count(self, _: object) -> None:
        self._left -= 1
        if not self._left and not self.done():
            self.set_result(None)

    def cancel(self, msg: Any | None = None) -> bool:
        if self._journal.closed:
            return super().cancel(msg)  # lets go of the task, which is being thrown away
        # anyio knows its own cancellations by their text.
        self.kept = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        for waiter in self._waiters:
            if isinstance(waiter, OrderedTask):
                waiter.cancel(msg)
        return True


async def _all_done(
    loop: JournalLoop, waiters: Sequence[asyncio.Future[Any]]
) -> asyncio.CancelledError | None:
    """Wait until all are done, whatever happens; the cancellation that came meanwhile, if any."""
    shield = _Shield(loop, waiters)
    await shield
    return shield.kept


def _may_have_happened(event: Event) -> bool:
    """It succeeded, or nobody knows."""
    if _ok(event) or event.state == "cancelled":
        return _ok(event)
    error: dict[str, Any] = json.loads(event.payload) if event.payload else {}
    return error.get("in_doubt") is True


def _ok(event: Event) -> bool:
    return event.state == "succeeded"
