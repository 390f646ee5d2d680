"""Group commit among the threads of one process: one of them leads and serves all that wait."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic

log = logging.getLogger("saga.engine")

_PATIENCE = 0.0003  # seconds a leader waits for the next of the threads that are about to come back
_LONG = 0.05  # seconds that a leader may spend on preparing one job before another thread leads


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
    is_away: bool = False  # its thread led, and is still at another's job
    is_left: bool = False  # with a thread that led, which is still at it

    @property
    def prepares(self) -> bool:
        """Whether there is something to `prepare`: not from when that has begun."""
        return False

    def prepare(self) -> None:
        """What comes before its batch is served. It raises nothing."""


@dataclass(slots=True, eq=False)
class _Lead:
    """A batch, and what its leader is preparing of it, since a time of `monotonic`."""

    batch: list[Job]  # the leader's own is the first
    at: Job | None = None
    since: float = 0.0


class GroupCommit:
    """Hands jobs to `serve` in batches, one batch at a time.

    A lone thread pays nothing for it. Under load one statement carries what all threads want: a
    leader waits for those that were just served, as long as they come back one after the other, as
    short steps do. What `afterwards` does holds up the leader only.

    A leader also prepares what it serves, since what is done for many in a row takes less time than
    in turns with all else. Whom that takes too long is left behind with it: another thread leads.
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
        self._lead: _Lead | None = None
        self._leader: int | None = None  # the thread that prepares or serves
        self.batches = 0  # so far
        self._expected = 0  # threads that wait once those of the last batch have come back
        self._news = threading.Lock()  # released when a thread comes while the leader gathers
        self._news.acquire()
        self._gathers = False
        self.lock = threading.Lock()  # held while a batch is served

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits, or a batch is at it. What prepares a job is not its doing."""
        lead = self._lead
        return self._led and (lead is None or lead.at is None)

    def submit(self, job: Job) -> None:
        """Returns when the job is done; raises what went wrong with it."""
        if self._leader == threading.get_ident():
            raise RuntimeError("who serves the others' jobs cannot wait for one of its own")
        leads = self._enqueue(job) or self._is_to_lead(job)
        while leads:
            leads = self._serve_others_with(job)
        if job.error is not None:
            raise job.error

    def _enqueue(self, job: Job) -> bool:
        """Whether its thread is to lead, as none does."""
        with self._mutex:
            job.is_left = False
            self._waiting.append(job)
            leads, self._led = not self._led, True
            if self._gathers:
                self._gathers = False
                self._news.release()
        return leads

    def _is_to_lead(self, job: Job) -> bool:
        """Waits until the job is done; True if its thread is to lead before that."""
        while not job.turn.acquire(timeout=_LONG):
            if self._takes_over(job):
                return True
        _wake(job.following)
        return not job.done

    # -- leading

    def _serve_others_with(self, own: Job) -> bool:
        """Serves a batch; True if this thread has to lead on."""
        if self._expected > 1:
            self._gather(min(self._expected, self._most))
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
            lead = self._lead = _Lead(batch)
            self._leader = threading.get_ident()
        if not self._is_prepared(lead):
            return self._bring_back(lead.at, own)
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
        return False

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
        away = [job for job in others if job.is_away]
        present = [job for job in others if job not in away] if away else others
        for job, following in pairwise(present):
            job.following = following
        with self._mutex:
            self._lead = self._leader = None
            self._led = bool(self._waiting)
            self._expected = len(self._waiting) + sum(1 for job in batch if job.comes_back)
            successor = self._waiting[0] if self._led else None
        _wake(successor)
        _wake(present[0] if present else None)
        for job in away:
            _wake(job)

    # -- when one job takes long to prepare

    def _is_prepared(self, lead: _Lead) -> bool:
        """Whether the whole batch is; False if another thread leads by now."""
        for job in lead.batch:
            if job.prepares:
                if not self._begins(lead, job):
                    return False
                job.prepare()
        return self._begins(lead, None)

    def _begins(self, lead: _Lead, job: Job | None) -> bool:
        with self._mutex:
            if self._lead is not lead:
                return False
            lead.at, lead.since = job, monotonic()
        return True

    def _takes_over(self, job: Job) -> bool:
        """Whether the thread of this job, which waits, leads from now on: with all of the batch but
        what its leader has not come to an end of.
        """
        with self._mutex:
            lead = self._lead
            if job.done or job.is_left or lead is None or lead.at is None:
                return False
            left, own = lead.at, lead.batch[0]
            if left is job or monotonic() - lead.since < _LONG:
                return False
            left.is_left, own.is_away = True, own is not left
            others = [each for each in lead.batch if each is not left]  # its own first
            others += self._waiting
            self._waiting = deque([job, *(each for each in others if each is not job)])
            self._lead, self._leader, self._expected = None, None, 0
        return True

    def _bring_back(self, job: Job | None, own: Job) -> bool:
        """What this thread was left behind with is prepared: True if it is to lead with it."""
        assert job is not None
        own.is_away = False
        leads = self._enqueue(job)
        if leads and job is not own:
            _wake(job)
        return (leads and job is own) or self._is_to_lead(own)


def _wake(job: Job | None) -> None:
    if job is not None:
        job.turn.release()
