"""Group commit among the threads of one process: one of them leads and serves all that wait."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from saga.engine.advance.request import Request

log = logging.getLogger("saga.engine")

_PATIENCE = 0.0003  # seconds a leader waits for threads that are about to come back
_GLANCE = 0.00005


class GroupCommit:
    """Hands requests to `process` in batches, one batch at a time.

    A lone thread pays nothing for it. Under load one statement carries the requests of all threads:
    a leader gives those that it has just served a moment to return, as short steps do. What
    `afterwards` does holds up the leader only.
    """

    def __init__(
        self,
        process: Callable[[list[Request]], None],
        afterwards: Callable[[], None],
        most: int = 64,
    ) -> None:
        self._process = process
        self._afterwards = afterwards
        self._most = most
        self._waiting: deque[Request] = deque()
        self._mutex = threading.Lock()
        self._led = False
        self.batches = 0  # so far
        self._expected = 0  # threads that went on with a step after the last batch
        self.lock = threading.Lock()  # held while a batch is processed

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits, or a batch is at it."""
        return self._led

    def submit(self, request: Request) -> None:
        """Returns when the request is done; raises what went wrong with its batch."""
        with self._mutex:
            self._waiting.append(request)
            leads, self._led = not self._led, True
        if not leads:
            request.turn.acquire()
        while not request.done:
            self._lead()
        if request.error is not None:
            raise request.error

    def _lead(self) -> None:
        if self._expected > 1:
            self._gather(self._expected)
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        try:
            with self.lock:
                self._process(batch)
        except BaseException as error:
            for request in (r for r in batch if r.work is None):
                request.error = request.error or error
            if not isinstance(error, Exception):
                raise
        finally:
            self.batches += 1
            self._expected = sum(1 for request in batch if request.work is not None)
            for request in batch:
                request.done = True
                request.turn.release()
            self._hand_over()
        try:
            self._afterwards()
        except Exception:
            log.exception("after a batch")  # this thread has a step to go on with

    def _gather(self, expected: int) -> None:
        until = time.monotonic() + _PATIENCE
        with suppress(OSError):  # of a clock that somebody tampers with: nobody would lead any more
            while len(self._waiting) < expected and time.monotonic() < until:
                time.sleep(_GLANCE)

    def _hand_over(self) -> None:
        """The next one that waits leads, if there is one."""
        with self._mutex:
            self._led = bool(self._waiting)
            successor = self._waiting[0] if self._led else None
        if successor is not None:
            successor.turn.release()
