"""`async with scope()`: an exception that leaves it undoes only the steps inside, then goes on."""

from __future__ import annotations

import asyncio
import contextvars
import json
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from saga.core.intent import Intent
from saga.core.loop.events import Event
from saga.core.loop.loop import JournalLoop


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
        self._outer: Scope | None = None
        self._ended = False
        self._token: contextvars.Token[Scope | None] | None = None

    def add(self, started: Started) -> None:
        """A step was asked for in here, or in a task that outlived a scope in here."""
        if not self._ended:
            self._started.append(started)
        elif self._outer is not None:
            self._outer.add(started)

    async def __aenter__(self) -> Self:
        self._outer = innermost.get()
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
        self._ended = True
        if self._outer is not None:
            for started in self._started:
                self._outer.add(started)
        self._started = []

    async def _undo(self, loop: JournalLoop) -> None:
        """What is still on its way ends first, as only then it is known what there is to undo."""
        cancelled = await _settled(self._started)
        self._ended = True
        left = _undoable(self._started)
        while left:
            wave = _last(left)
            left = [one for one in left if one not in wave]
            undos = [loop.journal.ask_undo(one.position, one.intent.undone()) for one, _ in wave]
            cancelled |= await _all_done(undos)
        if cancelled:
            raise asyncio.CancelledError


innermost: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("saga_scope", default=None)


def scope() -> Scope:
    """A block whose steps are undone together when an exception leaves it.

    ::

        try:
            async with scope():
                seat = await reserve_seat(flight)
                await charge(customer)
        except StepFailed:
            await apologise(customer)       # the seat has been given back by now

    The undos run in reverse order of start, those of steps that overlapped together, and are not
    stopped by a cancellation. A block that ends normally leaves its steps to the scope, or saga,
    around it. Outside a saga nothing is undone.
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


async def _settled(steps: list[Started]) -> bool:
    """Wait until all have settled, whatever happens; True if a cancellation came meanwhile."""
    cancelled = False
    while True:
        # A step that was still waited for may have been dropped meanwhile: then its future is new.
        open_ones = [one.future for one in steps if one.future and not one.future.done()]
        if not open_ones:
            return cancelled
        cancelled |= await _all_done(open_ones)


async def _all_done(futures: list[asyncio.Future[Event]]) -> bool:
    """Wait until all are done, whatever happens; True if a cancellation came meanwhile."""
    cancelled = False
    while not all(future.done() for future in futures):
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


def _may_have_happened(event: Event) -> bool:
    """It succeeded, or nobody knows."""
    if _ok(event) or event.state == "cancelled":
        return _ok(event)
    error: dict[str, Any] = json.loads(event.payload) if event.payload else {}
    return error.get("in_doubt") is True


def _ok(event: Event) -> bool:
    return event.state == "succeeded"
