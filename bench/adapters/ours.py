"""This engine: its own workers, its own client, Postgres as the truth."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, LiteralString

import psycopg

from bench.engine import STEPS, Engine
from bench.layout import Layout
from bench.waiting import until
from bench.worker import Worker

if TYPE_CHECKING:
    from bench.stage import Stage
    from saga import Client, Handle

DATABASE = "bench"
TEMPLATE = "bench_template"
# Where `advance` goes: any worker may decide what comes next.
SAGAS = "sagas"
START_AT_ONCE = 1000
APPROVERS = 8
END_TIMEOUT = 300


class Ours(Engine):
    """Two `saga worker` processes with their defaults; each turn gets a fresh database."""

    name = "ours"
    workflows = frozenset({"steps", "hops", "undo", "long", "fanout", "slow", "parked"})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._warmed = 0
        self._handles: dict[str, Handle] = {}
        self._client: Client | None = None
        self._probe: psycopg.Connection | None = None

    def open(self, layout: Layout, workflow: str, warm: int) -> None:
        from saga import Client

        folder = self.stage.turn()
        database, broker = self._database(), self.stage.redis_database(0)
        environment = {"SAGA_DATABASE_URL": database, "SAGA_BROKER_URL": broker}
        for number, queues in enumerate(layout.workers):
            command = _command(queues, layout.slots)
            self.workers.append(Worker(command, environment, folder / f"worker{number}.log"))
        self._client = Client(database, broker)
        self._probe = psycopg.connect(database, autocommit=True)
        until(lambda: self._count(_READY) >= len(self.workers), "our workers", timeout=30)
        plain = "steps" if workflow in {"long", "slow", "parked"} else workflow
        self.submit(plain, [f"warm{number}" for number in range(warm)])
        until(lambda: self.ended() >= warm, "our warm-up", timeout=30)
        self._warmed = warm

    def submit(self, workflow: str, keys: Sequence[str], size: int = STEPS) -> None:
        from bench.adapters import ours_app
        from saga import StartRequest

        saga = ours_app.SAGAS[workflow]
        assert self._client is not None
        for some in _chunks(keys, START_AT_ONCE):
            requests = [StartRequest(saga, {"key": key, "size": size}) for key in some]
            self._handles.update(zip(some, self._client.start_many(requests), strict=True))

    def ended(self) -> int:
        return self._count(_ENDED) - self._warmed

    def run(self, workflow: str, key: str, size: int = STEPS) -> None:
        from bench.adapters import ours_app

        assert self._client is not None
        self._client.start(ours_app.SAGAS[workflow], key, size).result(END_TIMEOUT)

    def waiting(self) -> int:
        return self._count(_WAITING)

    def approve(self, keys: Sequence[str]) -> None:
        handles = [self._handles[key] for key in keys]
        with ThreadPoolExecutor(APPROVERS) as approvers:
            deque(approvers.map(_approve, handles), maxlen=0)

    def settle(self) -> None:
        assert self._probe is not None
        self._probe.execute("VACUUM (ANALYZE)")
        self._probe.execute("CHECKPOINT")

    def close(self) -> None:
        super().close()
        if self._client is not None:
            self._client.close()
        if self._probe is not None:
            self._probe.close()

    def _database(self) -> str:
        if self.stage.first_use(TEMPLATE):
            from saga.storage.migrate import migrate

            migrate(self.stage.fresh_database(TEMPLATE))
        return self.stage.fresh_database(DATABASE, TEMPLATE)

    def _count(self, query: LiteralString) -> int:
        assert self._probe is not None
        row = self._probe.execute(query).fetchone()
        return row[0] if row else 0


def _approve(handle: Handle) -> None:
    handle.approve(by="bench")


_READY = "SELECT count(*) FROM saga.worker WHERE ended_at IS NULL"
_ENDED = "SELECT count(*) FROM saga.saga WHERE ended_at IS NOT NULL"
_WAITING = "SELECT count(*) FROM saga.step WHERE kind = 'approval' AND state = 'waiting'"


def _chunks(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _command(queues: Sequence[str], slots: int | None) -> list[str]:
    served = ",".join([*queues, SAGAS])
    program = [sys.executable, "-m", "saga.operations.cli", "worker"]
    concurrency = [] if slots is None else ["--concurrency", str(slots)]
    return [*program, "--app", "bench.adapters.ours_app", "--queues", served, *concurrency]
