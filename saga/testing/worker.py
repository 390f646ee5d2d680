"""A worker without threads or servers: the engine's own advancer and attempts, on tables in memory.

It does one thing after the other, so that a test is the same each time.
"""

from __future__ import annotations

import asyncio
import atexit
from asyncio import _get_running_loop as running_loop  # pyright: ignore[reportPrivateUsage]
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from typing_extensions import override

from saga.core.replay import Run
from saga.core.rows import StepKey, StepRow
from saga.core.twice import CheckedRun
from saga.engine.advance.advancer import Advancer, Busy
from saga.engine.advance.code_watch import CodeWatch
from saga.engine.advance.conductor import CACHE_BYTES
from saga.engine.advance.decider import Decider
from saga.engine.advance.handover import Handover
from saga.engine.advance.leases import Leases
from saga.engine.advance.shared_store import ClaimJob, LandJob, RecordJob, SharedStore, work_of
from saga.engine.advance.stages import Attempted, Decided, Decision
from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.event_loop import EventLoopThread
from saga.engine.attempt.transaction import without_doubt
from saga.engine.attempt.work import Outcome, Work
from saga.storage.hot.rows import Known, Landed, Loaded, Move
from saga.storage.hot.store import Store
from saga.testing.store import MemoryStore
from saga.testing.tables import Tables
from saga.wakeups.message import ADVANCE, WakeUp, step_of
from saga.wakeups.outbox import Outbox

T = TypeVar("T")


class EventLoop(EventLoopThread):
    """Runs coroutines in the test's own thread, unless a loop of the test's runs there."""

    def __init__(self) -> None:
        super().__init__()
        self._own: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout: timedelta | None) -> Any:
        if running_loop() is not None:
            return super().run(coroutine, timeout)
        if self._own is None:
            self._own = asyncio.new_event_loop()
            atexit.register(self._own.close)
        limit = None if timeout is None else timeout.total_seconds()
        return self._own.run_until_complete(asyncio.wait_for(coroutine, limit))


EVENT_LOOP = EventLoop()
"""All `async def` steps of a test process share one."""


class Broker:
    """Messages in a list; whoever delivers them may lose, double and reorder them."""

    def __init__(self) -> None:
        self.messages: list[WakeUp] = []

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        del ended
        self.messages += wakeups

    def send(self) -> None:
        """Nothing is kept back."""

    def waits_for(self, wakeup: WakeUp) -> bool:
        """Whether it has such a message."""
        return any(_same(wakeup, message) for message in self.messages)


def _same(one: WakeUp, other: WakeUp) -> bool:
    return (one.task, one.saga_id, one.position, one.undo) == (
        other.task,
        other.saga_id,
        other.position,
        other.undo,
    )


class Nowhere(Handover):
    """There is no other worker that might have what this one has not."""

    def __init__(self) -> None:
        pass

    @override
    def queue_of(self, queue: str, code: str) -> str | None:
        return None


class AllQueues(frozenset[str]):
    """Of whatever name."""

    def __contains__(self, queue: object) -> bool:
        return queue is not None


class MemoryShared(SharedStore):
    """What the threads of a worker share; here there is one."""

    def __init__(self, store: MemoryStore, leases: Leases, broker: Broker, worker_id: int) -> None:
        self.store = store
        self._leases = leases
        self._broker = broker
        self._id = worker_id

    def claim(self, key: StepKey, limit: float | None, known: Known | None) -> ClaimJob:
        job = ClaimJob(key, limit, known)
        for row in self.store.claim([(key, limit)], self._id):
            results = self.store.results([key]) if row.undo and row.result is None else {}
            job.work = self._leases.grant(work_of(row, results.get(key[:2])))
            if known is not None:
                job.loaded = self.load(known)
        if job.work is None:
            job.state = self.store.states([key]).get(key)
        return job

    def record(self, move: Move) -> RecordJob:
        landed = self.store.record([move])
        job = RecordJob(move, move.key in landed, landed.get(move.key))
        if not job.landed:
            job.state = self.store.states([move.key]).get(move.key)
        return job

    def load(self, known: Known) -> Loaded | None:
        return next(iter(self.store.load([known], self._id)), None)

    def steps(self, saga_id: UUID) -> list[StepRow]:
        return self.store.load_steps(saga_id)

    def land(self, decided: Decided) -> Landed | None:
        landing = decided.landing
        landed = landing and self.store.land([landing], self._id).get(landing.saga_id)
        if landed is not None:
            if decided.grant is not None:
                self._leases.grant(decided.grant)
            self._broker.publish(decided.wakeups)
        return landed

    def decide(self, decide: Callable[[], Decision]) -> LandJob:
        job = LandJob(None, decide())
        if job.to_land is not None:
            job.landed = self.land(job.to_land)
        return job

    def call(self, function: Callable[[Store], T]) -> T:
        return function(self.store)

    @property
    def is_refused(self) -> bool:
        return False

    @property
    def is_about_to_be_taken_on(self) -> bool:
        return False


class Worker:
    """One process. `checked`: a saga's code is run twice at each decision and has to do the same;
    `goes_on`: it takes the next step of a saga itself, without a message.
    """

    def __init__(
        self,
        tables: Tables,
        broker: Broker,
        catalog: Catalog,
        *,
        checked: bool = False,
        goes_on: bool = True,
        connection: Any = None,
    ) -> None:
        self.id = 1 + max(tables.workers, default=0)
        tables.workers.add(self.id)
        self._tables = tables
        self._broker = broker
        self._catalog = catalog
        self._goes_on = goes_on
        self._connection = connection
        self._attempts = Attempts(catalog)
        self._attempts.loop = EVENT_LOOP
        self.store = MemoryStore(tables)
        shared = MemoryShared(self.store, Leases(), broker, self.id)
        watch = CodeWatch()
        run = CheckedRun if checked else Run
        self._advancer = Advancer(
            shared,
            lambda: self.store,
            Decider(catalog, AllQueues(), self._now, Nowhere(), watch, run),
            watch,
            cast("Outbox", broker),
            worker_id=lambda: self.id,
            clock=self._now,
            cache_bytes=CACHE_BYTES,
            on_end=None,
        )

    def take(self, message: WakeUp) -> None:
        """A message is delivered."""
        try:
            work = self._begin(message)
            while work is not None:
                work = self._run(work)
        except Busy:
            pass  # the sweeper sends it again

    def _begin(self, message: WakeUp) -> Work | None:
        if message.task == ADVANCE:
            return self._advance(message.saga_id)
        key = StepKey(message.saga_id, message.position, message.undo)
        limit = self._catalog.limit(step_of(message.task), message.undo)
        return self._advancer.claim(key, limit, is_last_try=True)

    def _advance(self, saga_id: UUID) -> Work | None:
        return self._advancer.advance(saga_id, may_grant=self._goes_on)

    def _run(self, work: Work) -> Work | None:
        is_plain = work.key.undo or not self._catalog.step(work.intent.name).transactional
        if is_plain:
            return self._settle(work, self._attempts.run(work))
        try:
            with self._transaction():
                self._commit(work)
        except _RolledBack as rolled_back:
            return self._settle(work, without_doubt(rolled_back.outcome))
        return self._advance(work.key.saga_id)

    def _settle(self, work: Work, outcome: Outcome) -> Work | None:
        attempted = Attempted(work, outcome, round(self._now(), 6))
        return self._advancer.settle(attempted, may_grant=self._goes_on)

    def _transaction(self) -> AbstractContextManager[Any]:
        """Of the connection that the test gave, if that has any."""
        begin = getattr(self._connection, "transaction", nullcontext)
        return begin()

    def _commit(self, work: Work) -> None:
        """A transactional step's outcome is written with what it wrote itself."""
        outcome = self._attempts.run(work, self._connection)
        if outcome.state != "succeeded":
            raise _RolledBack(outcome)
        move = Move(
            work.key,
            "running",
            "succeeded",
            work.attempt,
            outcome.result,
            in_doubt=False,
            is_event=True,
        )
        self.store.record([move])

    def close(self) -> None:
        """It ends, or dies: whatever it knew is gone."""
        self._tables.workers.discard(self.id)
        self._advancer.forget()

    def _now(self) -> float:
        return self._tables.now


class _RolledBack(Exception):
    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
