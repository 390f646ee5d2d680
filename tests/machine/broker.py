"""A broker that loses, doubles and reorders, and one worker after the other."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.engine.advance.conductor import Conductor
from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Outcome, Work
from saga.storage import workers
from saga.storage.connect import connect
from saga.storage.hot.store import Store
from saga.wakeups.message import ADVANCE, WakeUp


@dataclass(slots=True)
class Broker:
    """Its messages are in a list, and `check` looks at each that is sent."""

    check: Callable[[WakeUp], None]
    messages: list[WakeUp] = field(default_factory=list[WakeUp])
    lost_all: bool = False

    def publish(self, wakeups: Iterable[WakeUp], ended: Sequence[UUID] = ()) -> None:
        for wakeup in wakeups:
            self.check(wakeup)
            self.messages.append(wakeup)

    def length(self, queue: str) -> int | None:
        return sum(message.queue == queue for message in self.messages)

    def intact(self) -> bool:
        lost, self.lost_all = self.lost_all, False
        return not lost

    def flush(self) -> None:
        """It forgets everything."""
        self.messages.clear()
        self.lost_all = True

    @contextmanager
    def announcements(self, saga_id: UUID) -> Generator[Callable[[float], None]]:
        yield time.sleep

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Job:
    """A lease in a worker's hand, and what came of the attempt once it was made."""

    worker: "Worker"
    work: Work
    outcome: Outcome | None = None


class Worker:
    """The engine of one process, without its threads: each thing that it does is a call."""

    def __init__(self, url: str, catalog: Catalog, broker: Broker, queues: frozenset[str]) -> None:
        self.queues = queues
        self.catalog = catalog
        self.is_gone = False
        self._url = url
        self._attempts = Attempts(catalog)
        self._presence = connect(url, "machine presence")
        self.id, _ = workers.register(self._presence, "machine", "here", 1, list(queues), 3600.0)
        self.conductor = Conductor(
            lambda: Store(connect(url, "machine worker", impatient=True)),
            catalog,
            broker,
            worker_id=lambda: self.id,
            clock=time.time,
            serves=queues,
        )

    def take(self, message: WakeUp, may_go_on: bool) -> Job | None:
        """A message is delivered."""
        if message.task == ADVANCE:
            return self._job(self.conductor.advance(message.saga_id, may_go_on))
        if not self.catalog.can_run(message.task, message.undo):
            return None
        key = StepKey(message.saga_id, message.position, message.undo)
        return self._job(self.conductor.claim(key, None))

    def attempt(self, job: Job) -> None:
        """The user's code runs."""
        job.outcome = self._attempts.run(job.work)

    def settle(self, job: Job, may_go_on: bool) -> Job | None:
        """Its outcome is recorded; perhaps there is more to do."""
        assert job.outcome is not None
        return self._job(self.conductor.settle(job.work, job.outcome, may_go_on))

    def be_taken_for_dead(self, connection: psycopg.Connection) -> None:
        """Its leases are anyone's from now on."""
        self.is_gone = True
        workers.end(connection, self.id, "the machine says so")

    def close(self) -> None:
        self.conductor.close()
        self._presence.close()

    def _job(self, work: Work | None) -> Job | None:
        return None if work is None else Job(self, work)
