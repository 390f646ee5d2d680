"""Code that a library would give to a thread runs where it is, if the saga says so."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Generator
from typing import Any

_wanted: contextvars.ContextVar[bool] = contextvars.ContextVar("saga_inline", default=False)


@contextlib.contextmanager
def without_threads() -> Generator[None]:
    """Inside this block, and in the tasks that begin in it, `loop.run_in_executor()` and
    `asyncio.to_thread()` of a saga call the function at once, where they else are refused.

    For libraries that give every `def` to a thread, as LangGraph does. What the function does is
    held to what a saga's code may: its input and output is refused. Outside a saga it is nothing.
    """
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def are_wanted() -> bool:
    """Whether this runs in such a block."""
    return _wanted.get()


def called(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Any], args: tuple[Any, ...]
) -> asyncio.Future[Any]:
    """What the thread would have made of it."""
    future = loop.create_future()
    try:
        future.set_result(function(*args))
    except Exception as error:
        future.set_exception(error)
    return future
