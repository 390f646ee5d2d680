"""Closing the coroutines of a saga that is thrown away.

None is left to the garbage collector, which would run its clean-up at any time, in any thread and
in another saga's loop.
"""

from __future__ import annotations

import asyncio
import gc
from types import AsyncGeneratorType
from typing import Any

from saga.core.loop.set_order import OrderedTask

ATTEMPTS = 100
"""How often a coroutine that goes on awaiting in its `finally` is told to go."""

_clinging: list[Any] = []  # coroutines that do not go: the garbage collector would try for ever


def discard(task: OrderedTask) -> None:
    """Close a task's coroutines, in its context: that is what they reset variables of."""
    if not task.done():
        task._log_destroy_pending = False  # pyright: ignore[reportAttributeAccessIssue]
        # asyncio.timeout() in a clean-up asks for the current task.
        asyncio.tasks._enter_task(task.get_loop(), task)
        try:
            task.context.run(_close, task.get_coro())
        finally:
            asyncio.tasks._leave_task(task.get_loop(), task)
        waiter = getattr(task, "_fut_waiter", None)
        if waiter is not None:
            waiter.cancel()  # lets go of the task that waits for it
    elif not task.cancelled():
        task.exception()  # so that nobody is told that it was never looked at


def _close(coroutine: Any) -> None:
    """Close a coroutine and what it awaits, the innermost first.

    Each is told to go until it goes: one that awaits something in its `finally`, which may be a new
    one, would otherwise be left half-way.
    """
    for _ in range(ATTEMPTS + len(_awaited(coroutine))):
        chain = _awaited(coroutine)
        if not chain:
            return
        try:
            _tell(chain[-1])
        except KeyboardInterrupt:
            raise  # somebody has had enough of a clean-up that does not come back
        except BaseException:  # noqa: S112 - whatever its clean-up made of it
            continue
    _clinging.append(coroutine)


def _tell(innermost: Any) -> None:
    """Tell it to go. Before Python 3.13, who awaits a generator closes it by forgetting it."""
    if _is_of_a_generator(innermost):
        innermost.throw(GeneratorExit())
    else:
        innermost.close()


def _awaited(one: Any) -> list[Any]:
    """A coroutine, what it awaits, what that awaits and so on, as far as they have not ended."""
    chain: list[Any] = []
    while one is not None:
        if getattr(one, "cr_frame", None) is not None:
            chain.append(one)
            one = one.cr_await
            continue
        generator = _generator_of(one)
        if generator is None or not generator.ag_running:
            break
        chain.append(one)
        one = generator.ag_await
    return chain


def _generator_of(one: Any) -> Any:
    """The asynchronous generator whose next value, or end, is awaited; None for anything else."""
    known: list[Any] = gc.get_referents(one) if _is_of_a_generator(one) else []
    kinds = (AsyncGeneratorType,)
    return next((each for each in known if type(each) in kinds), None)


def _is_of_a_generator(one: object) -> bool:
    return type(one).__name__ in ("async_generator_asend", "async_generator_athrow")
