"""One system under test: its servers, its workers, its outside world."""

import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import redis

from saga import Client, Handle, Unavailable
from saga.core.declare.registry import Registry
from saga.core.rows import StepKey
from saga.core.states import CLAIMABLE, ENDED
from saga.engine.attempt.work import Work
from saga.engine.sweep.sweeper import Sweeper
from saga.engine.worker.process import WorkerProcess
from saga.wakeups.publisher import publisher_for
from tests.faults import workers
from tests.faults.code import own_registry
from tests.faults.effects import URL
from tests.faults.invariants import violations
from tests.faults.ledger import Ledger
from tests.faults.nursery import Nursery
from tests.faults.records import Records
from tests.faults.waiting import PATIENCE, until
from tests.faults.workers import Worker

T = TypeVar("T")

_RESTLESS = """
SELECT 1 FROM saga.step t JOIN saga.saga s ON s.id = t.saga_id
 WHERE s.ended_at IS NOT NULL AND t.state IN ('running', 'ready', 'retrying', 'unknown')
"""
_WORKED = """
SELECT 1 WHERE EXISTS (SELECT FROM saga.history h JOIN saga.worker w ON w.id = h.worker_id
                        WHERE w.ended_at IS NULL AND w.pid = %s)
   OR NOT EXISTS (SELECT FROM saga.step WHERE state IN ('running', 'ready', 'retrying', 'unknown'))
  AND NOT EXISTS (SELECT FROM saga.saga WHERE due_at IS NOT NULL AND ended_at IS NULL)
"""
_NUDGE = "UPDATE saga.saga SET due_at = now() WHERE status = 'parked' AND due_at > now()"
LEASE = 3.0
"""Seconds; as short as a busy machine allows."""
STEADY = 20.0
"""Seconds, where attempts are counted: no machine is too busy to renew such a lease in time."""


@dataclass(slots=True)
class Arena:
    """Everything that a test breaks, and the ledger, which it does not break."""

    database_url: str
    broker_url: str
    ledger: Ledger
    folder: Path
    nursery: Nursery
    client: Client = field(init=False)
    records: Records = field(init=False)
    workers: list[Worker] = field(default_factory=list[Worker])

    def __post_init__(self) -> None:
        self.client = Client(self.database_url, self.broker_url)
        self.records = Records(self.database_url)
        (self.folder / "points").mkdir()
        self.records.query("CREATE TABLE public.entered (saga_id uuid, position int)")

    # Workers

    def worker(
        self,
        failpoints: str = "",
        *,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> Worker:
        """A worker that has begun to start. `failpoints`: as in SAGA_FAILPOINTS."""
        options = {"lease": LEASE, "concurrency": 4, "loglevel": "INFO", **options}
        worker = workers.spawn(
            self.nursery,
            self.folder / f"worker-{len(self.workers)}.log",
            self.environment(failpoints) | (environment or {}),
            **options,
        )
        self.workers.append(worker)
        return worker

    def replace_a_worker(self, **options: Any) -> None:
        """Kills the oldest worker that lives, once it has done any of what there is to do, and
        starts another: on a busy machine none would ever get to it otherwise.
        """
        oldest = next(worker for worker in self.workers if not worker.is_dead)
        self.ready(oldest)
        self.until(lambda: self.records.query(_WORKED, oldest.pid), "the worker does something")
        oldest.kill()
        self.worker(**options)

    def environment(self, failpoints: str = "") -> dict[str, str]:
        """What a process of this system finds in its environment."""
        armed = {"SAGA_FAILPOINTS": failpoints} if failpoints else {}
        return armed | {
            "SAGA_DATABASE_URL": self.database_url,
            "SAGA_BROKER_URL": self.broker_url,
            "SAGA_FAILPOINTS_DIR": str(self.folder / "points"),
            URL: self.ledger.url,
        }

    def ready(self, *wanted: Worker) -> None:
        """Until these workers (all, if none is named) have their leases."""
        pids = {worker.pid for worker in wanted or self.workers}
        self.until(lambda: pids <= set(self.records.live_workers()), "the workers are ready")

    def lose_messages(self) -> None:
        """The broker forgets everything."""
        with redis.Redis.from_url(self.broker_url) as broker:  # pyright: ignore[reportUnknownMemberType]
            broker.flushdb()  # pyright: ignore[reportUnknownMemberType]

    def has_passed(self, point: str) -> bool:
        """Whether the fail point has acted."""
        return (self.folder / "points" / point).exists()

    @contextmanager
    def inline(
        self, *queues: str, code: Registry | None = None, lease: float = 60.0
    ) -> Generator[WorkerProcess]:
        """The engine in this process, without Celery: what it is told it does at once."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(URL, self.ledger.url)
            publisher = publisher_for(self.broker_url)
            process = WorkerProcess(
                self.database_url,
                publisher,
                code or own_registry(),
                frozenset(queues or ("sagas", "default", "docks")),
                lease=lease,
            )
            process.start()
            try:
                yield process
            finally:
                process.stop()
                publisher.close()

    @contextmanager
    def sweeper(self) -> Generator[Sweeper]:
        """A sweeper in this process, which sweeps when it is told to."""
        publisher = publisher_for(self.broker_url)
        sweeper = Sweeper(self.database_url, publisher)
        try:
            yield sweeper
        finally:
            sweeper.stop()
            publisher.close()

    def take_over(self, *dead: WorkerProcess) -> None:
        """What happens when workers are taken for dead."""
        for process in dead:
            self.records.query(
                "UPDATE saga.worker SET ended_at = now(), ended_why = 'test' WHERE id = %s",
                process.presence.worker_id,
            )
        before = self.records.takeovers()
        with self.sweeper() as sweeper:
            self.sweep_until(sweeper, lambda: self.records.takeovers() > before, "a takeover")

    def sweep_until(self, sweeper: Sweeper, predicate: Callable[[], T], what: str) -> T:
        """Sweeps as often as that takes."""

        def sweep() -> T:
            sweeper.sweep()
            return predicate()

        return self.until(sweep, what)

    @staticmethod
    def carry_out(process: WorkerProcess, work: Work | None) -> None:
        """What the thread that has this lease does with it, and then goes on to do."""
        assert work is not None
        process._go_on(work)  # pyright: ignore[reportPrivateUsage]

    def drive(self, process: WorkerProcess, saga: UUID) -> None:
        """Advances a saga and runs its steps, until nothing of it is ready."""
        process.advance(saga)
        while ready := self._ready(saga):
            for row in ready:
                process.run_step(row.name, StepKey(saga, row.position, row.undo))

    def _ready(self, saga: UUID) -> list[Any]:
        steps = self.records.steps(saga).values()
        return [row for row in steps if row.kind == "step" and row.state in CLAIMABLE]

    # Sagas

    def start(self, saga: Any, *args: Any, key: str, **kwargs: Any) -> Handle:
        """Starts a saga, however often that takes."""
        return self.persist(self.client.start, saga, *args, key=key, **kwargs)

    @staticmethod
    def persist(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A client's call, again as long as nobody answers it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call(*args, **kwargs)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def start_many(self, saga: Any, count: int, *args: Any, **kwargs: Any) -> list[UUID]:
        """Starts so many."""
        return [self.start(saga, *args, key=f"{saga.name} {n}", **kwargs).id for n in range(count)]

    def nudge(self) -> None:
        """Parked sagas are looked at now: a test cannot wait as long as they do."""
        self.records.query(_NUDGE)

    def until(self, predicate: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
        """Wait; an error tells all there is to know."""
        return until(predicate, what, timeout, self.describe)

    def until_over(self, *wanted: UUID, timeout: float = PATIENCE) -> dict[UUID, str]:
        """Until these sagas (all, if none is named) have ended; how they did."""

        def over() -> dict[UUID, str]:
            statuses = self.records.statuses()
            chosen = {one: statuses[one] for one in wanted or statuses}
            return chosen if all(status in ENDED for status in chosen.values()) else {}

        return self.until(over, "the sagas end", timeout)

    def entered(self) -> Counter[tuple[UUID, int]]:
        """What the steps that write into this database have written."""
        rows = self.records.query("SELECT saga_id, position FROM public.entered")
        return Counter((row.saga_id, row.position) for row in rows)

    # The end

    def close(self) -> None:
        """Ends all workers, at once."""
        self.ledger.open_all()
        for worker in self.workers:
            worker.end()
        self.client.close()

    def check(self) -> None:
        """All invariants; the workers still run."""
        self.ledger.open_all()
        self.until(self._is_at_rest, "every lease that is held is a living worker's")
        found = violations(self.records, self.ledger)
        assert not found, "\n".join([*found, self.describe()])

    def _is_at_rest(self) -> bool:
        """The last batch of every worker has been written, as far as the workers still live."""
        return not self.records.query(_RESTLESS)

    def describe(self) -> str:
        """The tables and the ends of the logs."""
        logs = [f"-- {w.log.name} (pid {w.pid})\n{w.last_words()}" for w in self.workers]
        try:
            tables = self.records.dump()
        except Exception as error:
            tables = repr(error)
        return "\n".join([tables, *logs])
