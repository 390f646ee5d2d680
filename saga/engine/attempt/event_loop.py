"""The event loop that all async steps of a process share."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any


class EventLoopThread:
    """The event loop that all `async def` steps of a process share."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def call_soon(self, call: Callable[[], None]) -> bool:
        """Has it called there; False if there is no loop yet."""
        if self._loop is None:
            return False
        self._loop.call_soon_threadsafe(call)
        return True

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: timedelta | None) -> Any:
        """Runs a coroutine there and waits for it; TimeoutError cancels it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="saga-async", daemon=True
                ).start()
        limit = timeout.total_seconds() if timeout else None
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(coroutine, limit), self._loop
        ).result()
