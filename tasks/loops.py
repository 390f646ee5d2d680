"""Something that lives as long as an event loop, such as a client with its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes one `T` for each event loop that asks, and closes it when that loop shuts down."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[AsyncGenerator[T, None], T]
        ] = WeakKeyDictionary()

    async def get(self) -> T:
        """The running loop's own."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            lifetime = self._lifetime(loop)
            self._made[loop] = (lifetime, await anext(lifetime))
        return self._made[loop][1]

    async def _lifetime(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[T, None]:
        # A loop that shuts down closes the asynchronous generators that are still open. It is the
        # only moment at which the sockets of that loop can be closed properly.
        async with self._make() as made:
            try:
                yield made
            finally:
                self._made.pop(loop, None)
