"""What the threads of a worker ask for: a step to run, and what became of one."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

import psycopg

from saga.core.code_names import step_code
from saga.core.rows import StepKey
from saga.engine.advance.advancer import Advancer, Busy
from saga.engine.advance.code_watch import CodeWatch, Running
from saga.engine.advance.decider import Decider
from saga.engine.advance.handover import Handover
from saga.engine.advance.leases import Leases
from saga.engine.advance.shared_store import SharedStore
from saga.engine.advance.stages import Attempted
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Ended, Outcome, Work
from saga.failpoint import failpoint
from saga.storage.connect import is_fault_of_one
from saga.storage.hot.store import Store
from saga.storage.turning import stuck
from saga.wakeups.message import Publisher, WakeUp, step_of
from saga.wakeups.outbox import Outbox

T = TypeVar("T")

log = logging.getLogger("saga.engine")

CACHE_BYTES = 64 * 2**20
_TIDY_PATIENCE = 0.1  # seconds
_LOCKED_PAUSE = 0.25  # seconds, as each try holds up the others' batches as long as it waits
_MOST_TRIES = 5  # of what Postgres refuses for one saga alone
_MOST_CLAIMS = 3  # of a step that could be claimed and is not


class Conductor:
    """Advances sagas on behalf of all threads of this process.

    Every method tries again after a lost connection, and in turn when the saga is busy.
    """

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
        cache_bytes: int = CACHE_BYTES,
        on_end: Callable[[Ended], None] | None = None,
    ) -> None:
        self.deaf: UUID | None = None  # a saga whose code takes no notice of being interrupted
        self._clock = clock
        self._worker_id = worker_id
        self.leases = Leases()
        self.watch = CodeWatch()
        self._outbox = outbox = Outbox(publisher)
        self.shared = SharedStore(
            connect,
            self.leases,
            outbox,
            worker_id=worker_id,
            on_refused=on_refused,
            clock=clock,
            watch=self.watch,
        )
        self._handover = Handover(self.shared)
        self._advancer = Advancer(
            self.shared,
            connect,
            Decider(catalog, serves, clock, self._handover, self.watch),
            self.watch,
            outbox,
            worker_id=worker_id,
            clock=clock,
            cache_bytes=cache_bytes,
            on_end=on_end,
        )

    # -- what threads call

    def advance(self, saga_id: UUID, may_go_on: bool = True) -> Work | None:
        """Decides whatever is due for a saga; returns a step for this thread to go on with.

        A saga whose code asks for what cannot be stored is parked, and so is one that Postgres
        refuses again and again.
        """
        try:
            return self._patiently(lambda _: self._advancer.advance(saga_id, may_grant=may_go_on))
        except psycopg.Error as error:
            why = f"its code asks for what cannot be stored: {type(error).__name__}"
            if not isinstance(error, psycopg.DataError):
                why = f"Postgres refuses it ({error.sqlstate} {type(error).__name__})"
            log.exception("saga %s: %s", saga_id, why)
            return self._patiently(lambda _: self._advancer.advance(saga_id, park=why))

    def claim(self, key: StepKey, limit: float | None) -> Work | None:
        """Takes a step's lease; None if it is not to be had. `limit`: its timeout in seconds."""
        return self._patiently(
            lambda tries: self._advancer.claim(key, limit, is_last_try=tries >= _MOST_CLAIMS)
        )

    def settle(self, work: Work, outcome: Outcome, may_go_on: bool = True) -> Work | None:
        """Records how an attempt ended and advances the saga; returns a step to go on with."""
        failpoint("P8")
        attempted = Attempted(work, outcome, round(self._clock(), 6))
        following = self._patiently(lambda _: self._advancer.settle(attempted, may_grant=may_go_on))
        self.leases.forget(work)
        return following

    def record(self, work: Work, outcome: Outcome) -> None:
        """Records how an attempt ended, and no more."""
        attempted = Attempted(work, outcome, round(self._clock(), 6))
        self._patiently(lambda _: self._advancer.record(attempted))
        self.leases.forget(work)

    def release_strays(self) -> int:
        """Gives up leases that no thread has. Returns how many; 0 while a batch keeps the lock."""

        def release(store: Store) -> int:
            abandoned = self.leases.abandoned
            moves = self.leases.strays(store.held_by(self._worker_id()))
            landed = store.record_each(moves) if moves else {}
            self.leases.have_no_strays([m.key for m in moves if m.key not in landed], abandoned)
            self.shared.plan_now(len(landed), store)
            return len(landed)

        return self.shared.call_soon(release, _TIDY_PATIENCE) or 0

    def stop_code(self, limit: float) -> None:
        """Parks sagas whose code has run for `limit` seconds without awaiting, and gets it off its
        thread.
        """
        for running in self.watch.overdue(limit):
            if running.interrupts or self._park(running, limit):
                is_heard = self.watch.interrupt(running)
                self.deaf = None if is_heard else running.saga_id
        self.shared.note_advancing(_TIDY_PATIENCE)

    def _park(self, running: Running, limit: float) -> bool:
        why = f"its code ran {limit:g} s without awaiting"
        place = running.place()
        why += f": {place}" if place else ""
        saga_id = running.saga_id

        def park(store: Store) -> bool:
            stuck.park(store.connection, saga_id, why)
            return True

        log.error("saga %s is parked: %s", saga_id, why)
        return self.shared.call_soon(park, limit) or False

    def hand_over(self, wakeup: WakeUp) -> bool:
        """A step's wake-up, to a worker that knows the step; whether there is one."""
        queue = self._handover.queue_of(wakeup.queue, step_code(step_of(wakeup.task)))
        if queue is not None:
            self._outbox.publish([wakeup._replace(queue=queue)])
            self._outbox.send()
        return queue is not None

    def note(self, key: StepKey, why: str) -> None:
        """Writes beside a step why it does not go on."""
        self.shared.call(lambda store: store.note(key, why))

    @property
    def batches(self) -> int:
        """How many were served: it rises as long as anything goes on."""
        return self.shared.batches

    @property
    def is_busy(self) -> bool:
        """Whether threads wait for their batch."""
        return self.shared.is_busy

    def close(self) -> None:
        self._advancer.forget()
        self.shared.close()

    # -- patience

    def _patiently(self, ask: Callable[[int], T]) -> T:
        """Asks until there is an answer. What Postgres refuses for this saga alone is raised."""
        pause, tries = 0.001, 0
        while True:
            try:
                return ask(tries)
            except Busy:
                most = 0.1
            except psycopg.errors.LockNotAvailable:
                pause, most = max(pause, _LOCKED_PAUSE), 2.0
            except psycopg.OperationalError as error:
                if is_fault_of_one(error) and tries >= _MOST_TRIES:
                    raise
                log.warning("database: %s", (str(error).strip().splitlines() or [error])[0])
                time.sleep(min(2.0, pause * 100) * (0.5 + random.random()))
                most = 0.1
            time.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, most)
            tries += 1
