"""A deterministic event loop for asyncio: what runs, and in which order, follows from the journal.

Tasks and futures are asyncio's own. A delay becomes a durable timer; whatever is real (sockets,
threads, processes, signals) is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import random
import sys
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from asyncio import _set_running_loop as set_running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import AsyncGenerator, Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

from saga.core.digest import digest_of_wait
from saga.core.intent import Intent
from saga.core.loop import audit, inline
from saga.core.loop.callbacks import Alarm, Turn
from saga.core.loop.closing import discard
from saga.core.loop.forbidden import refusal, refuse_the_rest
from saga.core.loop.journal import Journal
from saga.core.loop.python_order import ORDERS, Order, take_over
from saga.core.loop.set_order import OrderedFuture, OrderedTask, given_to_as_completed
from saga.errors import NotDeterministic

logger = logging.getLogger("saga.core")

LONGEST = timedelta(days=365_000)
"""The longest time that anything waits: a thousand years, which Postgres can still add to now."""

MOST_TURNS = 1_000_000
"""More callbacks than this between two events are taken for an endless loop."""

MOST_REPEATS = 1_000
"""A cancellation that was repeated as often between two events waits for the next one."""

_EAGER: Any = getattr(asyncio, "eager_task_factory", None)


class JournalLoop(asyncio.AbstractEventLoop):
    """The loop of one saga. `journal` holds what it asks for; `turn()` runs what is ready."""

    def __init__(self, saga_id: UUID, started_at: float, order: Order = ORDERS[0]) -> None:
        take_over()
        audit.watch()
        self.journal = Journal(saga_id, self, self.ring)
        self.now = started_at
        self.python_order = order
        self.order_matters = False
        self.ready: list[Turn] = []
        self._tasks: list[OrderedTask] = []
        self._many = 16
        # Unique among sagas, as asyncio keeps the tasks of all loops in one set.
        self._order = saga_id.int >> 67
        self._started = 0
        self._running = False
        self.is_repeating = False  # somebody was cancelled who was before
        self._random: random.Random | None = None
        self._together: dict[Any, asyncio.Task[Any]] = {}
        self._factory: Any = None
        self._on_error: Any = None

    # Running

    def turn(self) -> None:
        """Run callbacks until none is ready, or until those that are do nothing but repeat a
        cancellation.

        Whoever delivers one in each round of a loop until it gets through, as anyio does, goes on
        with the next event: what it is to get through to waits for one.
        """
        turns = repeats = asked = 0
        while self.ready:
            batch, self.ready = self.ready, []
            turns += len(batch)
            if turns > MOST_TURNS:
                raise NotDeterministic(
                    f"the saga ran {MOST_TURNS} callbacks without waiting for anything"
                )
            for turn in batch:
                if not turn.is_cancelled:
                    try:
                        turn.context.run(turn.callback, *turn.args)
                    except BaseException as exc:
                        self._raised(exc)
            if self.is_repeating:
                self.is_repeating = False
                repeats = repeats + 1 if self.journal.last == asked else 0
                asked = self.journal.last
                if repeats >= MOST_REPEATS:
                    return

    def _raised(self, exc: BaseException) -> None:
        """A callback raised; what a task raises is kept by the task, except to stop a program."""
        # sys.exit() in a saga ends the saga, not the worker; a subclass of SystemExit is Celery's
        # own way to stop one.
        if isinstance(exc, KeyboardInterrupt) or (
            isinstance(exc, SystemExit) and type(exc) is not SystemExit
        ):
            raise exc
        if not isinstance(exc, SystemExit):
            self.call_exception_handler({"message": "in a callback", "exception": exc})

    def enter(self) -> tuple[Any, Any]:
        """Make this the thread's running loop; returns what `leave` puts back."""
        before = running_loop(), sys.get_asyncgen_hooks()
        set_running_loop(self)
        sys.set_asyncgen_hooks(None, self._abandon)
        self._running = True
        return before

    def leave(self, before: tuple[Any, Any]) -> None:
        """Put back the loop that was running before, if one was."""
        self._running = False
        loop, hooks = before
        sys.set_asyncgen_hooks(*hooks)
        set_running_loop(loop)

    def live_tasks(self) -> list[OrderedTask]:
        """The tasks that are not done, in the order of their creation."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return list(self._tasks)

    def throw_away(self) -> None:
        """Close every coroutine without letting its clean-up ask for anything."""
        self.journal.close()
        before = self.enter()
        try:
            while self._tasks:
                tasks, self._tasks = self._tasks, []
                for task in tasks:
                    discard(task)
        finally:
            self.ready.clear()
            self._together.clear()
            self.leave(before)

    # Time

    def time(self) -> float:
        """The time of the last event that was applied."""
        return self.now

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Turn:
        # An empty context is falsy.
        turn = Turn(callback, args, contextvars.copy_context() if context is None else context)
        self.ready.append(turn)
        return turn

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if not when - self.now <= LONGEST.total_seconds():
            raise ValueError(f"no timer can wait until {when}: at most a thousand years")
        alarm = Alarm(when, callback, args, self, context)
        if self.journal.closed:
            alarm.position = 0
        elif when > self.now:
            timer = Intent("timer", "sleep", digest=digest_of_wait(when - self.now))
            alarm.position = self.journal.ask_timer(timer, when, alarm)
        else:
            alarm.position = 0
            self.ring(alarm)
        return alarm

    def ring(self, alarm: Alarm) -> None:
        """Make a timer's callback ready."""
        self.ready.append(Turn(alarm.fire, (), contextvars.Context()))

    def _timer_handle_cancelled(self, handle: Alarm) -> None:
        if handle.position:
            self.journal.drop(handle.position)

    def random(self) -> random.Random:
        """The saga's source of random numbers."""
        if self._random is None:
            self._random = random.Random(self.journal.saga_id.int)
        return self._random

    # Threads

    def run_in_executor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        del executor
        if not inline.are_wanted():
            refusal("run_in_executor")()
        return inline.called(self, func, args)

    # Tasks and futures

    def create_future(self) -> asyncio.Future[Any]:
        return OrderedFuture(self._next_order(), self)

    def create_task(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> asyncio.Task[Any]:
        if self._together and coro in self._together:
            return self._together.pop(coro)
        together = given_to_as_completed(coro, 1)
        if together is not None:
            return self._create_together(coro, together)
        return self._create_task(coro, name, context, options)

    def _create_task(
        self, coro: Any, name: object, context: contextvars.Context | None, options: dict[str, Any]
    ) -> asyncio.Task[Any]:
        if self._factory is not None and self._factory is not _EAGER:
            return self._factory(self, coro, context=context)
        if self._factory is not None:
            options.setdefault("eager_start", True)
        if len(self._tasks) > self._many:
            self._many = max(16, 2 * len(self.live_tasks()))
        self._started += 1
        label = f"Task-{self._started}" if name is None else str(name)
        task = OrderedTask(
            coro, self._next_order(), loop=self, name=label, context=context, **options
        )
        self._tasks.append(task)
        return task

    def _create_together(self, wanted: Any, coroutines: list[Any]) -> asyncio.Task[Any]:
        self._together = {coro: self._create_task(coro, None, None, {}) for coro in coroutines}
        return self._together.pop(wanted)

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    def set_task_factory(self, factory: Any) -> None:
        self._factory = factory

    def get_task_factory(self) -> Any:
        return self._factory

    # State and errors

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        pass

    async def shutdown_asyncgens(self) -> None:
        pass

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        pass

    def get_exception_handler(self) -> Any:
        return self._on_error

    def set_exception_handler(self, handler: Any) -> None:
        self._on_error = handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.journal.closed:
            return
        if self._on_error is not None:
            self._on_error(self, context)
        else:
            self.default_exception_handler(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        # The exception's own text may hold what must not be in a log.
        kind = type(context.get("exception")).__name__
        logger.warning("saga %s: %s: %s", self.journal.saga_id, context.get("message"), kind)

    def _abandon(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an async generator that was left half-way; its clean-up may not wait."""
        journal, before = self.journal, self.enter()
        was_closed, journal.closed = journal.closed, True
        try:
            with contextlib.suppress(BaseException):
                generator.aclose().__await__().send(None)
        finally:
            journal.closed = was_closed
            self.leave(before)


refuse_the_rest(JournalLoop)
