"""What the threads of a worker ask for: a step to run, and what became of one."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.engine.advance.advancer import Advancer
from saga.engine.advance.decider import Decider
from saga.engine.advance.group_commit import GroupCommit
from saga.engine.advance.handover import Handover
from saga.engine.advance.leases import Leases
from saga.engine.advance.request import Request
from saga.engine.attempt.catalog import Catalog, step_code
from saga.engine.attempt.work import Ended, Outcome, Work
from saga.failpoint import failpoint
from saga.storage.hot.store import Store
from saga.wakeups.message import Publisher, WakeUp
from saga.wakeups.outbox import Outbox

log = logging.getLogger("saga.engine")

_TIDY_PATIENCE = 0.1  # seconds
_LOCKED_PAUSE = 0.25  # seconds, as each try holds up the others' batches as long as it waits


class Conductor:
    """Advances sagas on behalf of all threads of this process."""

    def __init__(
        self,
        connect: Callable[[], Store],
        catalog: Catalog,
        publisher: Publisher,
        *,
        worker_id: Callable[[], int],
        on_refused: Callable[[int], bool] = lambda _: False,
        clock: Callable[[], float],
        serves: frozenset[str],
        cache_size: int = 512,
        on_end: Callable[[Ended], None] | None = None,
    ) -> None:
        self._clock = clock
        self.leases = Leases()
        self._outbox = outbox = Outbox(publisher)
        self._handover = Handover(lambda: self._advancer.connection)
        self._advancer = Advancer(
            connect,
            Decider(catalog, serves, clock, self._handover),
            self.leases,
            outbox,
            worker_id=worker_id,
            on_refused=on_refused,
            clock=clock,
            cache_size=cache_size,
            on_end=on_end,
        )
        self._group_commit = GroupCommit(self._advancer.process, outbox.send)

    # -- what threads call

    def advance(self, saga_id: UUID, may_go_on: bool = True) -> Work | None:
        """Decides whatever is due for a saga; returns a step for this thread to go on with.

        A saga whose code asks for what cannot be stored is parked.
        """
        try:
            return self._submit(lambda: Request(saga_id, may_go_on=may_go_on))
        except psycopg.DataError as error:
            why = f"its code asks for what cannot be stored: {type(error).__name__}"
            log.exception("saga %s: %s", saga_id, why)
            return self._submit(lambda: Request(saga_id, park=why))

    def claim(self, key: StepKey, limit: float | None) -> Work | None:
        """Takes a step's lease; None if it is not to be had. `limit`: its timeout in seconds."""
        return self._submit(lambda: Request(key.saga_id, claim=key, limit=limit))

    def settle(self, work: Work, outcome: Outcome, may_go_on: bool = True) -> Work | None:
        """Records how an attempt ended and advances the saga; returns a step to go on with."""
        failpoint("P8")
        following = self._submit(
            lambda: Request(
                work.key.saga_id,
                settle=work,
                outcome=outcome,
                may_go_on=may_go_on,
                at=round(self._clock(), 6),
            )
        )
        self.leases.forget(work)
        return following

    def record(self, work: Work, outcome: Outcome) -> None:
        """Records how an attempt ended, and no more."""
        saga_id, at = work.key.saga_id, round(self._clock(), 6)
        self._submit(lambda: Request(saga_id, settle=work, outcome=outcome, alone=True, at=at))
        self.leases.forget(work)

    def release_strays(self) -> int:
        """Gives up leases that no thread has. Returns how many; 0 while a batch keeps the lock."""
        if not self._group_commit.lock.acquire(timeout=_TIDY_PATIENCE):
            return 0
        try:
            return self._advancer.release_strays()
        except psycopg.Error:
            self._advancer.disconnect()
            raise
        finally:
            self._group_commit.lock.release()

    def hand_over(self, wakeup: WakeUp) -> bool:
        """A step's wake-up, to a worker that knows the step; whether there is one."""
        with self._group_commit.lock:
            queue = self._handover.queue_of(wakeup.queue, step_code(wakeup.task))
        if queue is not None:
            self._outbox.publish([replace(wakeup, queue=queue)])
            self._outbox.send()
        return queue is not None

    def note(self, key: StepKey, why: str) -> None:
        """Writes beside a step why it does not go on."""
        with self._group_commit.lock:
            self._advancer.note(key, why)

    @property
    def batches(self) -> int:
        """How many were processed: it rises as long as anything goes on."""
        return self._group_commit.batches

    @property
    def is_busy(self) -> bool:
        """Whether threads wait for their batch."""
        return self._group_commit.is_busy

    def close(self) -> None:
        with self._group_commit.lock:
            self._advancer.disconnect()

    # -- waiting for the batch

    def _submit(self, make: Callable[[], Request]) -> Work | None:
        """One request until it is done: again after a lost connection, and in turn when the saga
        is busy.
        """
        pause, recorded, tries = 0.001, False, 0
        while True:
            request = make()
            request.recorded, request.tries = recorded, tries
            try:
                self._group_commit.submit(request)
            except psycopg.OperationalError as error:
                log.warning(
                    "database: %s", str(error).strip().splitlines()[0] if str(error) else error
                )
                time.sleep(min(2.0, pause * 100) * (0.5 + random.random()))
            if request.done and request.error is None and not request.busy:
                return request.work
            recorded = request.recorded
            if request.locked:
                pause = max(pause, _LOCKED_PAUSE)
            time.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, 2.0 if request.locked else 0.1)
            tries += 1
