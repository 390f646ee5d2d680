"""The real engine with several workers, in an order that nobody would choose.

Time passes when a rule says so: what is due is moved towards now. Everything else is real: the
conductor, the sweeper, the operators, and all SQL.
"""

import itertools
import random
import time
from collections import defaultdict
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from psycopg.rows import namedtuple_row

from saga import Client, SagaError
from saga.client import requests
from saga.core.states import ENDED
from saga.engine.attempt.catalog import Catalog
from saga.engine.sweep.sweeper import Sweeper
from saga.wakeups.message import ADVANCE, WakeUp
from tests.faults.code import own_registry
from tests.faults.records import Row
from tests.machine import laws
from tests.machine.broker import Broker, Job, Worker
from tests.machine.code import trades
from tests.machine.outside import OUTSIDE, TROUBLES

QUEUES = (frozenset({"sagas", "default"}), frozenset({"sagas", "default", "docks"}))
MOST_SAGAS = 3
_EMPTY = (
    "SET session_replication_role = replica",  # history is append-only
    "TRUNCATE saga.saga, saga.step, saga.history, saga.signal, saga.worker, saga.audit",
    "SET session_replication_role = origin",
)
_LATER = """
WITH steps AS (UPDATE saga.step SET due_at = due_at - make_interval(secs => %s)
                WHERE due_at IS NOT NULL)
UPDATE saga.saga SET due_at = due_at - make_interval(secs => %s) WHERE due_at IS NOT NULL
"""
_OPEN = "state NOT IN ('succeeded', 'failed', 'cancelled', 'skipped')"
_REST = f"""
SELECT s.id, s.name, s.status,
       (SELECT count(*) FROM saga.step t WHERE t.saga_id = s.id AND {_OPEN}
           AND (t.kind IN ('signal', 'timer') OR t.state = 'blocked')) AS nameable
  FROM saga.saga s
"""

# What is due at this moment is due before the sweeper looks, and nothing else while it does.
_NOW = [
    f"UPDATE saga.{table} SET due_at = due_at - interval '1 second' "
    "WHERE due_at < now() + interval '0.5 seconds'"
    for table in ("saga", "step")
]
_BLOCKED = "SELECT * FROM saga.step WHERE state = 'blocked' ORDER BY saga_id, position, undo"

T = TypeVar("T")
numbers = st.integers(min_value=0, max_value=10**6)


def _is_about(message: WakeUp, job: Job) -> bool:
    return (message.saga_id, message.position, message.undo) == job.work.key


def _one_of(things: list[T], number: int) -> T | None:
    return things[number % len(things)] if things else None


class Machine(RuleBasedStateMachine):
    """Sagas, workers, a broker, operators.

    Every rule can always be applied, if only to do nothing: what is drawn depends on nothing else.
    """

    url: ClassVar[str]
    """Of the database, which it has to itself."""
    complaints: ClassVar[list[str]] = []
    """What did not hold, of all runs."""

    def __init__(self) -> None:
        super().__init__()
        OUTSIDE.clear()
        numbered = itertools.count(1)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(requests, "uuid4", lambda: UUID(int=next(numbered) << 64))
        self.frozen_at = time.monotonic()
        self.luck = random.Random(0)
        self.connection = psycopg.connect(self.url, autocommit=True)
        for statement in _EMPTY:
            self.connection.execute(statement.encode())
        self.broker = Broker(self._has_a_row)
        self.catalog = Catalog(own_registry(trades))
        self.ever: list[Worker] = []
        self.workers = [self._worker(number) for number in (0, 1)]
        self.sweeper = Sweeper(self.url, self.broker)
        self.sweeper._leads = True  # the one before may not have left its seat yet
        self.client = Client(self.url)
        self.client._publisher = self.broker
        self.ann = self.client.operator("ann")
        self.jobs: list[Job] = []
        self.sagas: list[UUID] = []
        self.sent: dict[UUID, list[Any]] = defaultdict(list)

    def _worker(self, number: int) -> Worker:
        worker = Worker(self.url, self.catalog, self.broker, QUEUES[number % len(QUEUES)])
        self.ever.append(worker)
        return worker

    def _has_a_row(self, wakeup: WakeUp) -> None:
        """I9: nothing is sent before what it is about is there."""
        found = self.query("SELECT 1 FROM saga.saga WHERE id = %s", wakeup.saga_id)
        assert found, f"{wakeup} is about no saga"
        if wakeup.task != ADVANCE:
            sql = "SELECT 1 FROM saga.step WHERE saga_id = %s AND position = %s AND undo = %s"
            assert self.query(sql, wakeup.saga_id, wakeup.position, wakeup.undo), wakeup

    def query(self, sql: str, *parameters: Any) -> list[Any]:
        with self.connection.cursor(row_factory=namedtuple_row) as cursor:
            cursor.execute(sql.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    # Sagas

    @initialize(which=st.sampled_from(trades.ALL), luck=st.randoms(use_true_random=False))
    def begin(self, which: Any, luck: random.Random) -> None:
        self.luck = random.Random(luck.random())
        self._start(which)

    @rule(which=st.sampled_from(trades.ALL))
    def start(self, which: Any) -> None:
        if len(self.sagas) < MOST_SAGAS:
            self._start(which)

    def _start(self, which: Any) -> None:
        handle = self.client.start(which)
        note(f"{which.name} is {handle.id}")
        self.sagas.append(handle.id)

    @rule(number=numbers, word=st.integers(0, 3))
    def send_a_letter(self, number: int, word: int) -> None:
        """The same word counts once."""
        saga = self.sagas[number % len(self.sagas)]
        try:
            if self.client.signal(saga, "letter", word, dedup_id=str(word)):
                assert word not in self.sent[saga]
                self.sent[saga].append(word)
        except SagaError:
            assert self._status(saga) in (*ENDED, "compensating")

    # Messages

    @rule(number=numbers, worker=numbers, twice=st.booleans(), may_go_on=st.booleans())
    def deliver(self, number: int, worker: int, twice: bool, may_go_on: bool) -> None:
        message = _one_of(self.broker.messages, number)
        if message is None:
            return
        served = [w for w in self.workers if message.queue in w.queues]
        if not twice:
            self.broker.messages.remove(message)
        self._keep(served[worker % len(served)].take(message, may_go_on))

    @rule(number=numbers, everything=st.booleans())
    def lose(self, number: int, everything: bool) -> None:
        message = _one_of(self.broker.messages, number)
        if everything:
            self.broker.flush()
        elif message is not None:
            self.broker.messages.remove(message)

    @rule(troubles=st.lists(st.sampled_from(TROUBLES), min_size=1, max_size=6), number=numbers)
    def go_on(self, troubles: list[str], number: int) -> None:
        """As on a good day: a message, what it is about, and what follows from that."""
        for trouble in troubles:
            if self.jobs:
                job = self.jobs[number % len(self.jobs)]
                if job.outcome is None:
                    self._attempt(job, trouble)
                self._settle(job, may_go_on=True)
            elif self.broker.messages:
                message = self.broker.messages.pop(number % len(self.broker.messages))
                self._keep(self.workers[1].take(message, may_go_on=True))

    @rule(troubles=st.lists(st.sampled_from(TROUBLES), min_size=6, max_size=12), number=numbers)
    def go_on_and_on(self, troubles: list[str], number: int) -> None:
        self.go_on(troubles, number)

    @rule(number=numbers, may_go_on=st.booleans())
    def overtake(self, number: int, may_go_on: bool) -> None:
        """A worker stalls with a step in hand, and another takes that step up."""
        job = _one_of([job for job in self.jobs if not job.worker.is_gone], number)
        if job is None:
            return
        self._replace(job.worker)
        self.sweep()
        self.wait(3.0)
        for message in [m for m in self.broker.messages if _is_about(m, job)]:
            self.broker.messages.remove(message)
            self._keep(self.workers[1].take(message, may_go_on))

    @rule(seconds=st.sampled_from([3.0, 40.0, 100.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, and the sweeper comes."""
        self.let_time_pass(seconds)
        self.sweep()

    def _keep(self, job: Job | None) -> None:
        if job is not None:
            self.jobs.append(job)

    # Work

    @rule(number=numbers, trouble=st.sampled_from(TROUBLES))
    def attempt(self, number: int, trouble: str) -> None:
        job = _one_of([job for job in self.jobs if job.outcome is None], number)
        if job is not None:
            self._attempt(job, trouble)

    def _attempt(self, job: Job, trouble: str) -> None:
        OUTSIDE.trouble = trouble
        job.worker.attempt(job)
        OUTSIDE.trouble = ""

    @rule(number=numbers, may_go_on=st.booleans())
    def settle(self, number: int, may_go_on: bool) -> None:
        job = _one_of([job for job in self.jobs if job.outcome is not None], number)
        if job is not None:
            self._settle(job, may_go_on)

    def _settle(self, job: Job, may_go_on: bool) -> None:
        before = self._row(job)
        self.jobs.remove(job)
        self._keep(job.worker.settle(job, may_go_on))
        if before.state == "running" and before.attempt != job.work.attempt:
            after = self._row(job)
            if (after.state, after.attempt) != (before.state, before.attempt):
                self._complain(
                    [f"I5: attempt {job.work.attempt} ended {before.attempt}: {after.state}"]
                )

    def _row(self, job: Job) -> Any:
        sql = "SELECT * FROM saga.step WHERE saga_id = %s AND position = %s AND undo = %s"
        return self.query(sql, *job.work.key)[0]

    # Faults

    @rule(number=numbers, returns=st.booleans())
    def take_for_dead(self, number: int, returns: bool) -> None:
        """Killed; or only stopped, and then what it has in hand comes back one day."""
        gone = self.workers[number % len(self.workers)]
        self._replace(gone)
        if not returns:
            self.jobs = [job for job in self.jobs if job.worker is not gone]

    def _replace(self, gone: Worker) -> None:
        index = self.workers.index(gone)
        gone.be_taken_for_dead(self.connection)
        self.workers[index] = self._worker(index)

    def let_time_pass(self, seconds: float) -> None:
        self.connection.execute(_LATER, (seconds, seconds))

    def _stop_the_clock(self) -> None:
        """The time that the machine itself takes does not count: a history can be repeated."""
        now = time.monotonic()
        self.connection.execute(_LATER, (self.frozen_at - now,) * 2)
        self.frozen_at = now

    @rule()
    def sweep(self) -> None:
        for statement in _NOW:
            self.connection.execute(statement.encode())
        self.sweeper._dead_workers._looked = 0.0
        self.sweeper.sweep()

    # People

    @rule(
        number=numbers,
        what=st.sampled_from(["cancel", "compensate", "retry"]),
        only=st.sets(st.integers(1, 4), max_size=2),
    )
    def act(self, number: int, what: str, only: set[int]) -> None:
        """Any saga, and any action, whether that makes sense or not."""
        if not OUTSIDE.applied:
            return
        saga = self._any_saga(number)
        if what == "cancel":
            self._try(lambda: self.ann.cancel(saga, reason="enough"))
        elif what == "compensate":
            self._try(lambda: self.ann.compensate(saga, only=only, reason="a mistake"))
        else:
            self._try(lambda: self.ann.retry(saga))

    @rule(number=numbers, action=st.sampled_from(["retry", "retry", "skip", "done"]))
    def resolve(self, number: int, action: Any) -> None:
        row = _one_of(self._blocked(), number)
        if row is None:
            return
        key = f"{row.saga_id}:{row.position}"
        if action == "done" and (row.undo or row.kind == "child" or key not in OUTSIDE.applied):
            action = "retry"
        result = key if action == "done" else None
        self._try(
            lambda: self.ann.resolve(
                row.saga_id, row.position, action, undo=row.undo, result=result, reason="so be it"
            )
        )

    def _any_saga(self, number: int) -> UUID:
        rows = self.query("SELECT id FROM saga.saga ORDER BY created_at, id")
        return rows[number % len(rows)].id

    def _try(self, act: Any) -> None:
        try:
            act()
        except SagaError as error:
            note(f"refused: {error}")

    def _blocked(self) -> list[Any]:
        return self.query(_BLOCKED)

    def _status(self, saga: UUID) -> str:
        return self.query("SELECT status FROM saga.saga WHERE id = %s", saga)[0].status

    # Laws

    @invariant()
    def holds(self) -> None:
        sagas, histories, steps, signals = self._tables()
        ids = {row.id for row in self.query("SELECT id FROM saga.worker")}
        found = laws.broken(sagas, histories, steps, signals, ids)
        found += laws.effects_at_work(OUTSIDE, histories)
        found += laws.letters_in_order(sagas, self.sent)
        busy = {job.work.key.saga_id for job in self.jobs}
        quiet = [s for s in sagas if s.status in ENDED and s.id not in busy]
        found += laws.effects_at_rest(OUTSIDE, quiet, steps)
        found += laws.order_of_undos(OUTSIDE, sagas, histories, steps)
        self._complain(found)
        self._stop_the_clock()

    def _complain(self, found: list[str]) -> None:
        if found:
            type(self).complaints += found
            raise AssertionError("\n".join(found))

    def _tables(self) -> tuple[list[Any], Any, Any, Any]:
        histories: dict[UUID, list[Row]] = defaultdict(list)
        for row in self.query("SELECT * FROM saga.history ORDER BY saga_id, seq"):
            histories[row.saga_id].append(row)
        steps: dict[UUID, list[Any]] = defaultdict(list)
        for row in self.query("SELECT * FROM saga.step ORDER BY saga_id, position, undo"):
            steps[row.saga_id].append(row)
        signals: dict[UUID, list[Any]] = defaultdict(list)
        for row in self.query("SELECT * FROM saga.signal ORDER BY saga_id, event"):
            signals[row.saga_id].append(row)
        return self.query("SELECT * FROM saga.saga ORDER BY id"), histories, steps, signals

    # The end

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            for worker in self.ever:
                worker.close()
            self.patch.undo()
            self.sweeper.stop()
            self.client.close()
            self.connection.close()

    def _come_to_rest(self) -> None:
        """The faults stop: everything ends, or waits for something that it can name (I3). And what
        has completed can be undone, as far as nobody has decided otherwise.
        """
        self._rest(trouble=0.2)
        for row in self._blocked():
            self._try(
                lambda row=row: self.ann.resolve(row.saga_id, row.position, "retry", undo=row.undo)
            )
        for row in self.query("SELECT id FROM saga.saga WHERE status = 'completed'"):
            self._try(lambda saga=row.id: self.ann.compensate(saga, reason="all of it"))
        self._rest(trouble=0.4)
        for row in self._blocked():
            self._try(
                lambda row=row: self.ann.resolve(row.saga_id, row.position, "retry", undo=row.undo)
            )
        self._rest(trouble=0.0)

    def _rest(self, trouble: float) -> None:
        for _ in range(150):
            for job in list(self.jobs):
                if job.outcome is None:
                    happens = self.luck.random() < trouble
                    self._attempt(job, self.luck.choice(TROUBLES) if happens else "")
                self._settle(job, may_go_on=True)
            messages, self.broker.messages = self.broker.messages, []
            for message in messages:
                self._keep(self.workers[1].take(message, may_go_on=True))
            if self._is_at_rest() and not self.jobs and not self.broker.messages:
                break
            self.let_time_pass(100.0)
            self.sweep()
            self._stop_the_clock()
        self.holds()
        stuck = [row for row in self.query(_REST) if row.status not in ENDED and not row.nameable]
        children = {row.parent_id for row in self.query("SELECT parent_id FROM saga.saga")}
        stuck = [row for row in stuck if row.status != "parked" and row.id not in children]
        self._complain([f"I3: {row}" for row in stuck])

    def _is_at_rest(self) -> bool:
        sql = """
        SELECT 1 FROM saga.saga s WHERE due_at IS NOT NULL AND status <> 'parked'
        UNION ALL
        SELECT 1 FROM saga.step t WHERE due_at IS NOT NULL AND kind NOT IN ('timer', 'child')
        UNION ALL
        SELECT 1 FROM saga.step t WHERE state = 'running'
        """
        return not self.query(sql)
