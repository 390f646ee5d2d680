"""What changes sagas waits for rows that somebody may hold: it must not take all threads to do so.

There are some forty threads for all requests. What changes something gets half of them, and what
changes one saga two, so that looking never waits for it, nor other sagas for one that is held.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import Scope

_ALL = 20
_EACH = 2
_SAGA = re.compile(r"/v1/sagas/([^/]+)/")
_NOT_HEX = re.compile(r"[^0-9a-f]")


class Lanes:
    """For one server. Whoever has no lane waits on the event loop, which costs nothing."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(_ALL)
        self._of: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def lane(self, scope: Scope) -> AsyncGenerator[None]:
        """Inside the block there are threads for this request."""
        if scope["method"] in ("GET", "HEAD"):
            yield
            return
        key = _saga_of(scope["path"])
        lane, users = self._of.get(key, (asyncio.Semaphore(_EACH if key else _ALL), 0))
        self._of[key] = lane, users + 1
        try:
            async with lane, self._all:
                yield
        finally:
            lane, users = self._of.pop(key)
            if users > 1:
                self._of[key] = lane, users - 1


def _saga_of(path: str) -> str:
    """The same for all ways of writing an id; empty if the path is of none."""
    found = _SAGA.match(path)
    return _NOT_HEX.sub("", found[1].lower())[-32:] if found else ""
