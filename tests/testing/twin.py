"""The real engine, made to do one thing after the other as a world does: Postgres, its statements,
its sweeper. Time passes by moving all that has happened into the past.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from saga import Client
from saga.core.declare.registry import Registry
from saga.core.states import ENDED
from saga.engine.attempt.catalog import Catalog
from saga.engine.sweep.sweeper import Sweeper
from tests.machine.broker import Broker, Job, Worker

QUEUES = frozenset({"sagas", "default"})
_FAR = "interval '1000 days'"
_TIMES = {
    "saga": ("created_at", "due_at", "ended_at"),
    "step": ("asked_at", "due_at", "deadline", "settled_at", "started_at"),
    "signal": ("received_at",),
}
_PASS = [
    f"UPDATE saga.{table} SET "
    + ", ".join(f"{column} = {column} - make_interval(secs => %(seconds)s)" for column in columns)
    for table, columns in _TIMES.items()
]
_FIRST = "(SELECT min(due_at) FROM saga.step WHERE kind <> 'child' AND due_at IS NOT NULL)"
_HIDE = f"""
UPDATE saga.step SET due_at = due_at + {_FAR}
 WHERE kind = 'child' AND due_at IS NOT NULL OR due_at > {_FIRST}
"""
_SHOW = f"""
UPDATE saga.step SET due_at = due_at - {_FAR} WHERE due_at > now() + {_FAR} / 2
"""
_OVERDUE = """
SELECT extract(epoch FROM min(due_at) - now())::float8 AS seconds FROM (
  SELECT due_at FROM saga.step WHERE kind = 'step' AND due_at IS NOT NULL
   UNION ALL
  SELECT due_at FROM saga.saga
   WHERE due_at IS NOT NULL AND status IN ('running', 'compensating') AND wakes <= 3) AS due
"""
_PLANNED = """
SELECT extract(epoch FROM min(due_at) - now())::float8 AS seconds FROM saga.step
 WHERE kind IN ('timer', 'signal', 'approval') AND due_at IS NOT NULL
"""
_ASKED = """
SELECT t.saga_id, t.kind, t.name, t.position FROM saga.step t JOIN saga.saga s ON s.id = t.saga_id
 WHERE t.state = 'waiting' AND t.kind IN ('signal', 'approval') AND s.status = 'running'
   AND (t.kind = 'approval' OR NOT EXISTS (SELECT FROM saga.signal g
         WHERE g.saga_id = t.saga_id AND g.name = t.name AND g.consumed_by IS NULL))
 ORDER BY s.created_at, t.position
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A step, as far as two engines can agree on it."""

    position: int
    undo: bool
    kind: str
    name: str
    state: str
    in_doubt: bool
    attempt: int
    event: int | None
    after: int


class Twin:
    """One worker, one broker, one client."""

    def __init__(self, url: str, registry: Registry, answers: Mapping[str, Sequence[Any]]) -> None:
        self._connection = psycopg.connect(url, autocommit=True, row_factory=namedtuple_row)
        self._broker = Broker(lambda _: None)
        self._worker = Worker(url, Catalog(registry), self._broker, QUEUES)
        self._sweeper = Sweeper(url, self._broker)
        self._client = Client(url)
        self._client._publisher = self._broker
        self._answers = {name: list(given) for name, given in answers.items()}

    def close(self) -> None:
        self._sweeper.stop()
        self._client.close()
        self._worker.close()
        self._connection.close()

    def _query(self, sql: str, **parameters: Any) -> list[Any]:
        cursor = self._connection.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    # -- running

    def start(self, saga: Any, *args: Any) -> UUID:
        return self._client.start(saga, *args).id

    def settle(self) -> None:
        while self._deliver() or self._give_answers() or self._catch_up():
            pass

    def finish(self, saga_id: UUID) -> None:
        self.settle()
        while self.saga(saga_id).status not in ENDED:
            (planned,) = self._query(_PLANNED)
            if planned.seconds is None:
                return
            self._pass(planned.seconds)
            self.settle()

    def _deliver(self) -> bool:
        if not self._broker.messages:
            return False
        job = self._worker.take(self._broker.messages.pop(0), may_go_on=True)
        while job is not None:
            job = self._attempt(job)
        return True

    def _attempt(self, job: Job) -> Job | None:
        self._worker.attempt(job)
        return self._worker.settle(job, may_go_on=True)

    def _give_answers(self) -> bool:
        for row in self._query(_ASKED):
            given = self._answers.get(row.name)
            if row.kind == "approval" and given:
                answer = given.pop(0) if len(given) > 1 else given[0]
                decide = self._client.approve if answer else self._client.reject
                decide(row.saga_id, position=row.position, by="world")
                return True
            if row.kind == "signal" and given:
                self._client.signal(row.saga_id, row.name, given.pop(0))
                return True
        return False

    def _catch_up(self) -> bool:
        (overdue,), (planned,) = self._query(_OVERDUE), self._query(_PLANNED)
        if overdue.seconds is None:
            return False
        self._pass(min(overdue.seconds, planned.seconds or overdue.seconds))
        return True

    def _pass(self, seconds: float) -> None:
        """What is due first is due now, and nothing else while the sweeper looks."""
        for statement in _PASS:
            self._query(statement, seconds=max(0.0, seconds))
        self._worker.conductor._advancer.forget()  # it remembers when things were
        self._query(_HIDE)
        self._sweeper._leads = True
        self._sweeper.sweep()
        self._query(_SHOW)

    # -- what came of it

    def saga(self, saga_id: UUID) -> Any:
        return self._query("SELECT * FROM saga.saga WHERE id = %(id)s", id=saga_id)[0]

    def ids(self) -> list[UUID]:
        return [row.id for row in self._query("SELECT id FROM saga.saga")]

    def rows(self, saga_id: UUID) -> list[Row]:
        sql = "SELECT * FROM saga.step WHERE saga_id = %(id)s ORDER BY position, undo"
        return [
            Row(
                row.position,
                row.undo,
                row.kind,
                row.name,
                row.state,
                row.in_doubt,
                row.attempt,
                row.event,
                row.after,
            )
            for row in self._query(sql, id=saga_id)
        ]


def plain(value: Any) -> Any:
    """Without the times that it tells."""
    if isinstance(value, float):
        return "a time" if value > time.time() / 2 else value
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [plain(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return json.loads(value) if isinstance(value, bytes) else value
