"""Threads whose number can change while they work."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

log = logging.getLogger("saga.worker")

NAME = "saga-slot"
"""What the names of these threads begin with."""

_Job = Callable[[], None]


class Crew:
    """At most `size` threads, started when they are needed.

    A crew that shrinks interrupts nobody: idle threads leave at once, busy ones after the job at
    hand, and what waits is left to those that stay.
    """

    def __init__(self, size: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()  # None: somebody shall look up
        self._lock = threading.Lock()
        self._size = size
        self._spare = 0  # threads that have nothing to do, less the jobs that nobody has yet
        self._threads: set[threading.Thread] = set()
        self._number = 0
        self._closed = False

    @property
    def size(self) -> int:
        return self._size

    @property
    def threads(self) -> int:
        """Those that exist; more than `size` while some of them are still to leave."""
        return len(self._threads)

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a job, and none waits."""
        with self._lock:
            return self._spare == len(self._threads)

    def resize(self, size: int) -> None:
        """At least one."""
        with self._lock:
            self._size = max(1, size)
            for _ in range(len(self._threads) - self._size):
                self._add(None)
            for _ in range(-self._spare):
                self._hire()

    def put(self, job: Callable[[], None]) -> None:
        """Has the next free thread call it; it must not raise. RuntimeError once closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker's threads have been told to leave")
            self._add(job)
            if self._spare < 0:
                self._hire()

    def submit(self, target: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Has it called by the next free thread, and tells how it ended; for ever open if the crew
        is closed before.
        """
        future: Future[Any] = Future()
        self.put(partial(_carry_out, future, target, args))
        return future

    def close(self) -> None:
        """Takes nothing on any more and forgets what waits; waits for nobody."""
        with self._lock:
            self._closed = True
            with suppress(Empty):
                while True:
                    self._jobs.get_nowait()
            for _ in self._threads:
                self._add(None)

    def _add(self, job: _Job | None) -> None:
        """Counted here and not when a thread has it: in between it would seem to be spare."""
        self._jobs.put(job)
        self._spare -= 1

    def _hire(self) -> None:
        if len(self._threads) >= self._size:
            return
        self._number += 1
        thread = threading.Thread(target=self._work, name=f"{NAME}-{self._number}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._closed or len(self._threads) > self._size:
                    self._threads.discard(threading.current_thread())
                    return
                self._spare += 1
            job = self._jobs.get()
            if job is not None:
                job()


def _carry_out(future: "Future[Any]", target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    future.set_running_or_notify_cancel()
    try:
        result = target(*args)
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):
            log.warning("a task ended with %s", type(error).__name__)
    else:
        future.set_result(result)
