"""Following sagas: one query every half second for all that are watched, however many watch."""

import asyncio
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from uuid import UUID

from saga.storage.progress import Progress

log = logging.getLogger("saga.api")

_EVERY = 0.5  # seconds


class Watch:
    """One saga, for one who watches it."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.latest: Progress | None = None

    def tell(self, progress: Progress) -> None:
        """The saga has come so far."""
        if progress != self.latest:
            self.latest = progress
            self._changed.set()

    async def beyond(self, seen: Progress | None, seconds: float) -> bool:
        """Waits until the saga has moved on from what was seen; False after so many seconds."""
        deadline = time.monotonic() + seconds
        while self.latest == seen:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - time.monotonic())
            except TimeoutError:
                return False
        return True


class Watcher:
    """`look` tells how far sagas have come; it blocks, and runs in a thread."""

    def __init__(self, look: Callable[[Sequence[UUID]], Sequence[Progress]]) -> None:
        self._look = look
        self._watches: dict[UUID, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, saga_id: UUID) -> Generator[Watch]:
        """Watches a saga inside the block."""
        watch = Watch()
        self._watches.setdefault(saga_id, set()).add(watch)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield watch
        finally:
            self._watches[saga_id].discard(watch)
            if not self._watches[saga_id]:
                del self._watches[saga_id]

    async def _run(self) -> None:
        """Until nobody watches any more."""
        while self._watches:
            try:
                found = await asyncio.to_thread(self._look, list(self._watches))
            except Exception as error:
                log.warning("watching sagas: %s: %s", type(error).__name__, error)
            else:
                for progress in found:
                    for watch in self._watches.get(progress.id, ()):
                        watch.tell(progress)
            await asyncio.sleep(_EVERY)

    async def close(self) -> None:
        """Stops looking."""
        if self._task is not None:
            self._task.cancel()
