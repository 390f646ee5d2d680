"""A worker process: the life of a step, from its wake-up to the next step."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg

from saga.core.declare.registry import Registry
from saga.core.rows import StepKey
from saga.engine.advance.conductor import CACHE_BYTES, Conductor
from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.event_loop import EventLoopThread
from saga.engine.attempt.transaction import Transactions
from saga.engine.attempt.work import ABANDONED, COMMITTED, Ended, Outcome, Work
from saga.engine.worker.presence import Presence
from saga.engine.worker.watchers import Watcher
from saga.errors import UnknownStep
from saga.failpoint import failpoint
from saga.storage.connect import connect
from saga.storage.hot.store import Store
from saga.wakeups.message import Publisher, WakeUp

log = logging.getLogger("saga.process")

_RARELY = 5  # renewals


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a thread may stay with one saga before it lets other messages go first."""

    steps: int = 100
    seconds: float = 1.0


class WorkerProcess:
    """Everything one process needs to run steps: its lease, its conductor, the user's functions."""

    def __init__(
        self,
        database_url: str,
        publisher: Publisher,
        registry: Registry,
        queues: frozenset[str],
        *,
        lease: float = 10.0,
        code_limit: float = 10.0,
        cache_bytes: int = CACHE_BYTES,
        budget: Budget | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.catalog = Catalog(registry)
        self._budget = budget or Budget()
        self._code_limit = code_limit
        self._publisher = publisher
        self._watchers = tuple(watchers)
        self._is_draining = False
        self._tidied_at: int = -1  # the number of batches by then
        self._tidied_ago = 0  # renewals
        self.presence = Presence(
            database_url,
            queues,
            code=self.catalog.code(),
            lease=lease,
            on_lost=self._lost_lease,
            on_tick=self._tick,
            renew_every=lease / 5,
        )
        self.conductor = Conductor(
            lambda: Store(connect(database_url, "saga worker", impatient=True)),
            self.catalog,
            publisher,
            worker_id=lambda: self.presence.worker_id,
            on_refused=self.presence.refused,
            clock=self.presence.now,
            serves=queues,
            cache_bytes=cache_bytes,
            on_end=self._tell_of_end if watchers else None,
        )
        self._attempts = Attempts(self.catalog)
        self._transactions = Transactions(database_url, self._attempts)

    @property
    def event_loop(self) -> EventLoopThread:
        """The one that all `async def` steps of this process share."""
        return self._attempts.loop

    def start(self) -> None:
        self.presence.start()

    def take_up_no_more(self) -> None:
        """What is at hand goes on. Takes no lock, for signal handlers."""
        self._is_draining = True

    def drain(self, seconds: float = 0.0) -> bool:
        """Takes up no more steps and waits for those at hand; whether all have finished."""
        self.take_up_no_more()
        until = time.monotonic() + seconds
        while self.conductor.leases and time.monotonic() < until:
            time.sleep(0.02)
        return not self.conductor.leases

    def stop(self) -> None:
        """Ends the lease: what is still in hand is anyone's at once."""
        self.drain()
        self.presence.stop()
        self.conductor.close()
        self._transactions.close()
        self._tell(lambda watcher: watcher.stopped())

    # -- the life of a step

    def advance(self, saga_id: UUID) -> None:
        """A wake-up: something happened to this saga."""
        self._go_on(self.conductor.advance(saga_id, may_go_on=self._may_take_up()))

    def run_step(self, name: str, key: StepKey) -> None:
        """A wake-up: this step may run."""
        if not self._may_take_up():
            return
        try:
            limit = self.catalog.limit(name, key.undo)
        except UnknownStep as error:
            self.note(key, str(error))
            return
        self._go_on(self.conductor.claim(key, limit))

    def _may_take_up(self) -> bool:
        """Not when it stops, nor when its steps may be another's before they have begun."""
        return self.presence.is_held and not self._is_draining

    def _go_on(self, work: Work | None) -> None:
        """Step after step of a saga, while they are for this process and within its budget."""
        until, left = time.monotonic() + self._budget.seconds, self._budget.steps
        try:
            while work is not None:
                left -= 1
                outcome = self._watched(work) if self._watchers else self._attempt(work)
                may_go_on = left > 0 and time.monotonic() < until and self._may_take_up()
                work = self._land(work, outcome, may_go_on)
                if work is not None and work.key.undo:
                    failpoint("P16")
        except BaseException:
            if work is not None:
                self.conductor.leases.abandon(work)
            raise
        failpoint("P11")

    def _land(self, work: Work, outcome: Outcome | None, may_go_on: bool) -> Work | None:
        """Records the outcome and advances the saga in one transaction."""
        if outcome is None:
            self.conductor.leases.forget(work)
            return self.conductor.advance(work.key.saga_id, may_go_on)
        return self._settle(work, outcome, may_go_on)

    def _attempt(self, work: Work) -> Outcome | None:
        """None: the outcome is committed already, with the user's writes."""
        if self._is_transactional(work):
            return self._transactions.run(work)
        return self._attempts.run(work)

    def _watched(self, work: Work) -> Outcome | None:
        at, since = self.presence.now(), time.monotonic()
        self._tell(lambda watcher: watcher.started(work, at))
        ended = ABANDONED
        try:
            outcome = self._attempt(work)
            ended = outcome or COMMITTED
        finally:
            seconds = time.monotonic() - since
            self._tell(lambda watcher: watcher.ended(work, ended, seconds))
        return outcome

    def _tell_of_end(self, ended: Ended) -> None:
        self._tell(lambda watcher: watcher.saga_ended(ended))

    def _tell(self, tell: Callable[[Watcher], None]) -> None:
        """A watcher that fails is a gap in what is seen, and no more."""
        for watcher in self._watchers:
            try:
                tell(watcher)
            except Exception:
                log.exception("%s failed", type(watcher).__name__)

    def _settle(self, work: Work, outcome: Outcome, may_go_on: bool) -> Work | None:
        try:
            return self.conductor.settle(work, outcome, may_go_on)
        except psycopg.DataError:
            return self._settle_apart(work, outcome, may_go_on)

    def _settle_apart(self, work: Work, outcome: Outcome, may_go_on: bool) -> Work | None:
        """Postgres refuses the outcome, or what the saga asks for in return: the former only is
        blamed on the step.
        """
        try:
            self.conductor.record(work, outcome)
        except psycopg.DataError as error:
            log.warning(
                "the outcome of %s %s cannot be stored: %s",
                work.intent.name,
                work.key,
                error.sqlstate,
            )
            refused = Outcome(
                "blocked" if work.key.undo else "failed",
                error='{"type": "DataError", "message": "the outcome cannot be stored"}',
                in_doubt=outcome.state == "succeeded",
            )
            return self.conductor.settle(work, refused, may_go_on)
        return self.conductor.advance(work.key.saga_id, may_go_on)

    def _is_transactional(self, work: Work) -> bool:
        return not work.key.undo and self.catalog.step(work.intent.name).transactional

    # -- housekeeping

    def hand_over(self, queue: str, name: str, key: StepKey) -> None:
        """A wake-up for a step that this worker does not know goes to one that does."""
        if not self.conductor.hand_over(WakeUp.for_step(queue, name, key)):
            self.note(key, f"a worker on queue {queue!r} does not know step {name!r}")

    def note(self, key: StepKey, why: str) -> None:
        """Writes beside a step why it does not go on; it waits for a worker that can run it."""
        self.conductor.note(key, f"worker {self.presence.worker_id}: {why}")

    def _lost_lease(self) -> None:
        self._tell(lambda watcher: watcher.lease_lost())
        self.conductor.leases.lose()

    def _tick(self) -> None:
        """At each renewal of the lease."""
        self.conductor.stop_code(self._code_limit)
        self._tidy()

    def _tidy(self) -> None:
        """Where nothing went on there are no strays but what a thread has abandoned, and what the
        server did for a connection that was cut: it looks for the latter less often.
        """
        batches = self.conductor.batches
        self._tidied_ago += 1
        may_be = batches != self._tidied_at or bool(self.conductor.leases.abandoned)
        if not may_be and self._tidied_ago < _RARELY:
            return
        strays = self.conductor.release_strays()
        self._tidied_at, self._tidied_ago = batches, 0
        if strays:
            log.warning("%d leases had no thread and were released", strays)
