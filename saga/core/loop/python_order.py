"""The order in which asyncio runs things, of each Python, on every Python.

`asyncio.wait_for` begins what it awaits at once since 3.12, and a turn later before; `gather` takes
what had ended before at once since 3.12; `as_completed` begins what it was given when it is called
since 3.13, and at the first look before. A journal that was written in one order cannot be replayed
in another. So a saga's loop keeps the order of one Python, `python_order`, wherever it runs.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import sys
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saga.core.loop.callbacks import Turn
    from saga.core.loop.loop import JournalLoop

Order = tuple[int, int]

ORDERS: tuple[Order, ...] = ((3, 13), (3, 12), (3, 11))
"""That of sagas, then those in which 0.1.0 may have written a journal."""


def _own(function: Callable[..., Any]) -> Any:
    """The function as it is now, whatever becomes of its code."""
    assert isinstance(function, FunctionType)
    own = FunctionType(function.__code__, function.__globals__, function.__name__)
    own.__kwdefaults__ = function.__kwdefaults__
    return own


_wait_for = _own(asyncio.wait_for)
_gather = _own(asyncio.gather)
_as_completed = _own(asyncio.as_completed)
_TAKE_IN: CodeType = next(
    code
    for code in _gather.__code__.co_consts
    if getattr(code, "co_name", None) == "_done_callback"
)


@functools.cache
def take_over() -> None:
    """Let asyncio's functions ask the running loop for its order. For the whole process.

    Their code is replaced, not their names: a module may have imported those before.
    """
    asyncio.wait_for.__code__ = _wait_for_by_order.__code__
    asyncio.gather.__code__ = _gather_by_order.__code__
    asyncio.as_completed.__code__ = _as_completed_by_order.__code__


# These run among asyncio's own names, and so import what they need.


async def _wait_for_by_order(fut: Any, timeout: Any) -> Any:  # noqa: ASYNC109
    from saga.core.loop.python_order import wait_for

    return await wait_for(fut, timeout)


def _gather_by_order(*coros_or_futures: Any, return_exceptions: bool = False) -> Any:
    from saga.core.loop.python_order import gather

    return gather(coros_or_futures, return_exceptions)


def _as_completed_by_order(fs: Any, *, timeout: Any = None) -> Any:
    from saga.core.loop.python_order import as_completed

    return as_completed(fs, timeout)


def wait_for(future: Any, timeout: Any) -> Any:
    """`asyncio.wait_for`, in the order of the running loop."""
    loop = _saga_loop()
    if loop is None or timeout is None or timeout <= 0 or _is_native(loop, (3, 12)):
        return _wait_for(future, timeout)
    return _within(future, timeout) if not _has((3, 12)) else _in_a_task(future, timeout)


def gather(given: tuple[Any, ...], return_exceptions: bool) -> Any:
    """`asyncio.gather`, in the order of the running loop."""
    loop = _saga_loop()
    if loop is None or _is_native(loop, (3, 12)):
        return _gather(*given, return_exceptions=return_exceptions)
    if not _has((3, 12)):
        return _ended_first(loop, _gather, given, return_exceptions)
    late = [_Ended(one) if asyncio.isfuture(one) and one.done() else one for one in given]
    return _gather(*late, return_exceptions=return_exceptions)


def as_completed(given: Any, timeout: Any) -> Any:
    """`asyncio.as_completed`, in the order of the running loop."""
    loop = _saga_loop()
    if loop is None or _is_native(loop, (3, 13)):
        return _as_completed(given, timeout=timeout)
    return _begun(given, timeout) if not _has((3, 13)) else _at_first_look(given, timeout)


def _saga_loop() -> JournalLoop | None:
    loop: Any = running_loop()
    if not hasattr(loop, "python_order"):
        return None
    loop.order_matters = True
    return loop


def _has(changed: Order) -> bool:
    """This Python came with a change, or after it."""
    return sys.version_info[:2] >= changed


def _is_native(loop: JournalLoop, changed: Order) -> bool:
    """This Python and the loop's order are on the same side of a change."""
    return (loop.python_order >= changed) is _has(changed)


async def _within(future: Any, timeout: float) -> Any:  # noqa: ASYNC109
    async with asyncio.timeout(timeout):
        return await future


async def _in_a_task(future: Any, timeout: float) -> Any:  # noqa: ASYNC109
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def wake(*_: object) -> None:
        if not woken.done():
            woken.set_result(None)

    alarm = loop.call_later(timeout, wake)
    task = asyncio.ensure_future(future)
    task.add_done_callback(wake)
    try:
        try:
            await woken
        except asyncio.CancelledError:
            if not task.done():
                await _stop(task, wake)
                raise
        if not task.done():
            await _stop(task, wake)
            if task.cancelled():
                raise TimeoutError
        return task.result()
    finally:
        alarm.cancel()


async def _stop(task: asyncio.Future[Any], wake: Callable[..., None]) -> None:
    task.remove_done_callback(wake)
    await getattr(asyncio.tasks, "_cancel_and_wait")(task)  # noqa: B009


def _ended_first(
    loop: JournalLoop, gather: Callable[..., Any], given: tuple[Any, ...], return_exceptions: bool
) -> Any:
    """Take in what had ended before, which the loop was just told to do later."""
    before = len(loop.ready)
    outer = gather(*given, return_exceptions=return_exceptions)
    fresh = loop.ready[before:]
    loop.ready[before:] = [turn for turn in fresh if not _takes_in(turn)]
    for turn in fresh:
        if _takes_in(turn):
            turn.callback(*turn.args)
    return outer


def _takes_in(turn: Turn) -> bool:
    return getattr(turn.callback, "__code__", None) is _TAKE_IN


def _at_first_look(given: Any, timeout: Any) -> Iterator[Any]:
    yield from _as_completed(given, timeout=timeout)


def _begun(given: Any, timeout: Any) -> Iterator[Any]:
    """The first look makes it begin; what that look gives is made anew when it is asked for."""
    each: Any = _as_completed(given, timeout=timeout)
    first = next(each, None)
    if first is None:
        return each
    first.close()
    return itertools.chain((each.gi_frame.f_locals["_wait_for_one"]() for _ in (first,)), each)


class _Ended:
    """A future that has ended, and that `gather` takes for one that has not."""

    _asyncio_future_blocking = False

    def __init__(self, future: asyncio.Future[Any]) -> None:
        self._future = future

    def done(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)
