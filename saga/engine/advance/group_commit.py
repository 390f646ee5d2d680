"""Group commit among the threads of one process: one of them leads and serves all that wait."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

log = logging.getLogger("saga.engine")

_PATIENCE = 0.0003  # seconds a leader waits for threads that are about to come back
_GLANCE = 0.00005


def _closed() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """What one thread wants of the database, and what came of it."""

    done: bool = False
    served: bool = False  # it knows what came of it, whatever becomes of the batch
    comes_back: bool = False  # its thread is about to want something more
    error: BaseException | None = None
    turn: threading.Lock = field(default_factory=_closed)  # released when it is done, or is to lead


class GroupCommit:
    """Hands jobs to `serve` in batches, one batch at a time.

    A lone thread pays nothing for it. Under load one statement carries what all threads want: a
    leader gives those that it has just served a moment to return, as short steps do. What
    `afterwards` does holds up the leader only.
    """

    def __init__(
        self,
        serve: Callable[[list[Job]], None],
        afterwards: Callable[[], None],
        most: int = 64,
    ) -> None:
        self._serve = serve
        self._afterwards = afterwards
        self._most = most
        self._waiting: deque[Job] = deque()
        self._mutex = threading.Lock()
        self._led = False
        self.batches = 0  # so far
        self._expected = 0  # threads that come back after the last batch
        self.lock = threading.Lock()  # held while a batch is served

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits, or a batch is at it."""
        return self._led

    def submit(self, job: Job) -> None:
        """Returns when the job is done; raises what went wrong with it."""
        with self._mutex:
            self._waiting.append(job)
            leads, self._led = not self._led, True
        if not leads:
            job.turn.acquire()
        while not job.done:
            self._lead()
        if job.error is not None:
            raise job.error

    def _lead(self) -> None:
        if self._expected > 1:
            self._gather(self._expected)
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        try:
            with self.lock:
                self._serve(batch)
        except BaseException as error:
            for job in batch:
                if not job.served:
                    job.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.batches += 1
            self._expected = sum(1 for job in batch if job.comes_back)
            for job in batch:
                job.done = True
                job.turn.release()
            self._hand_over()
        try:
            self._afterwards()
        except Exception:
            log.exception("after a batch")  # this thread has something to go on with

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
