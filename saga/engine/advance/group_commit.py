"""Group commit among the threads of one process: one of them leads and serves all that wait."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

log = logging.getLogger("saga.engine")

_PATIENCE = 0.0003  # seconds a leader waits for the next of the threads that are about to come back


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
    following: "Job | None" = None  # whose thread its own wakes


class GroupCommit:
    """Hands jobs to `serve` in batches, one batch at a time.

    A lone thread pays nothing for it. Under load one statement carries what all threads want: a
    leader waits for those that were just served, as long as they come back one after the other, as
    short steps do. What `afterwards` does holds up the leader only.
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
        self._expected = 0  # threads that wait once those of the last batch have come back
        self._news = threading.Lock()  # released when a thread comes while the leader gathers
        self._news.acquire()
        self._gathers = False
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
            if self._gathers:
                self._gathers = False
                self._news.release()
        if not leads:
            job.turn.acquire()
            _wake(job.following)
        while not job.done:
            self._lead()
        if job.error is not None:
            raise job.error

    def _lead(self) -> None:
        if self._expected > 1:
            self._gather(min(self._expected, self._most))
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
            self._hand_over(batch)
        try:
            self._afterwards()
        except Exception:
            log.exception("after a batch")  # this thread has something to go on with

    def _gather(self, expected: int) -> None:
        """As long as they keep coming, since one at a time of them computes."""
        while len(self._waiting) < expected and self._comes_another():
            pass

    def _comes_another(self) -> bool:
        with self._mutex:
            self._gathers = True
        if self._news.acquire(timeout=_PATIENCE):
            return True
        with self._mutex:
            has_come, self._gathers = not self._gathers, False
        return has_come and self._news.acquire()

    def _hand_over(self, batch: list[Job]) -> None:
        """The next one that waits leads, if there is one. Those that are done wake each other: at
        once, they would but wait for the interpreter, and interrupt who has it all the time.
        """
        for job in batch:
            job.done = True
        _, *others = batch  # whose own is the first
        for job, following in pairwise(others):
            job.following = following
        with self._mutex:
            self._led = bool(self._waiting)
            self._expected = len(self._waiting) + sum(1 for job in batch if job.comes_back)
            successor = self._waiting[0] if self._led else None
        _wake(successor)
        _wake(others[0] if others else None)


def _wake(job: Job | None) -> None:
    if job is not None:
        job.turn.release()
