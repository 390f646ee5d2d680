"""Tasks and futures whose order in a set is the same in every replay.

asyncio keeps tasks in sets (`wait`, `TaskGroup`, `as_completed`), and a set's order follows from
hashes, which by default are addresses in memory. Here a hash is a number counted by the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine, Iterable
from types import CodeType, FrameType
from typing import Any, cast

from saga.errors import NotDeterministic

innermost: contextvars.ContextVar[Any] = contextvars.ContextVar("saga_scope", default=None)
"""The scope whose block is running."""


class OrderedTask(asyncio.Task[Any]):
    """A task that a set of a given history always holds in the same place."""

    __slots__ = ("_order", "begun_in", "context")

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        order: int,
        *,
        context: contextvars.Context | None = None,
        **options: Any,
    ) -> None:
        self._order = order
        self.begun_in = innermost.get()
        # An empty context is falsy.
        self.context = contextvars.copy_context() if context is None else context
        super().__init__(coroutine, context=self.context, **options)

    def __hash__(self) -> int:
        return self._order

    def cancel(self, msg: Any | None = None) -> bool:
        if self.cancelling():
            loop: Any = self.get_loop()
            loop.is_repeating = True
        return super().cancel(msg)


class OrderedFuture(asyncio.Future[Any]):
    """A future that a set of a given history always holds in the same place."""

    __slots__ = ("_order",)

    def __init__(self, order: int, loop: asyncio.AbstractEventLoop) -> None:
        self._order = order
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._order


def given_to_as_completed(coroutine: Any, depth: int) -> list[Any] | None:
    """All that `as_completed` was given, in order, if it is what makes a task of `coroutine` now.

    It puts bare coroutines into a set before it makes tasks of them, in whatever order. Nothing
    but its own frame still knows the order in which they were given.
    """
    frame = sys._getframe(depth + 1)  # pyright: ignore[reportPrivateUsage]
    if frame.f_code not in _ENSURE_FUTURE:
        return None
    caller = _as_completed(frame)
    if caller is None:
        return None
    given: Iterable[Any] | None = caller.f_locals.get("aws", caller.f_locals.get("fs"))
    if not isinstance(given, (list, tuple)):
        raise NotDeterministic(
            "asyncio.as_completed() has no fixed order over a set or a generator of coroutines: "
            "give it a list, or tasks"
        )
    coroutines = dict.fromkeys(c for c in cast("Iterable[Any]", given) if asyncio.iscoroutine(c))
    if coroutine not in coroutines:
        raise NotDeterministic("asyncio.as_completed() in a saga takes coroutines and tasks only")
    return list(coroutines)


def _as_completed(frame: FrameType) -> FrameType | None:
    caller: FrameType | None = frame
    for _ in range(4):
        caller = caller.f_back if caller else None
        if caller is not None and caller.f_code in _AS_COMPLETED:
            return caller
    return None


def _codes(*names: str) -> frozenset[CodeType]:
    found: set[CodeType] = set()
    for name in names:
        function: Any = asyncio.tasks
        for part in name.split("."):
            function = getattr(function, part, None) if function is not None else None
        if function is not None:
            found.add(function.__code__)
    return frozenset(found)


_ENSURE_FUTURE = _codes("ensure_future", "_ensure_future")
_AS_COMPLETED = _codes("as_completed", "_AsCompletedIterator.__init__")
