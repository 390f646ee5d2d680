"""What stands in the database, as tests read it. One connection a question: servers come and go."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

_OPEN = "('running', 'compensating', 'parked')"
_SAGAS = """
SELECT id, name, status, seq, events, applied, fence, due_at - now() AS due, wakes, note, error
  FROM saga.saga ORDER BY created_at DESC LIMIT 12
"""
_STEPS = f"""
SELECT saga_id, position, undo, name, state, attempt, worker_id, event, due_at - now() AS due,
       wakes, in_doubt, note
  FROM saga.step
 WHERE saga_id IN (SELECT id FROM saga.saga WHERE status IN {_OPEN} LIMIT 4)
 ORDER BY saga_id, position LIMIT 40
"""
_WORKERS = "SELECT * FROM saga.worker ORDER BY id"
_HISTORY = f"""
SELECT h.* FROM saga.history h
 WHERE saga_id IN (SELECT id FROM saga.saga WHERE status IN {_OPEN} LIMIT 1) ORDER BY seq LIMIT 60
"""


class Row(NamedTuple):
    """One row of history."""

    seq: int
    position: int | None
    undo: bool | None
    before: str | None
    after: str
    attempt: int | None
    worker_id: int | None
    reason: str | None


def _rows(connection: psycopg.Connection, sql: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        cursor.execute(sql.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


class Records:
    """The engine's tables."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, sql: str, *parameters: Any) -> list[Any]:
        """Rows as named tuples."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            return _rows(connection, sql, parameters)

    def queries(self, *statements: str) -> list[list[Any]]:
        """The rows of several statements, as of one moment."""
        with psycopg.connect(self.url, connect_timeout=5) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            return [_rows(connection, sql, ()) for sql in statements]

    def statuses(self) -> dict[UUID, str]:
        """Of all sagas."""
        return {row.id: row.status for row in self.query("SELECT id, status FROM saga.saga")}

    def open(self) -> list[UUID]:
        """Sagas that have not ended."""
        rows = self.query(f"SELECT id FROM saga.saga WHERE status IN {_OPEN}")
        return [row.id for row in rows]

    def history(self, saga_id: UUID) -> list[Row]:
        """In order."""
        rows = self.query(
            "SELECT seq, position, undo, before, after, attempt, worker_id, reason "
            "FROM saga.history WHERE saga_id = %s ORDER BY seq",
            saga_id,
        )
        return [Row(*row) for row in rows]

    def steps(self, saga_id: UUID) -> Mapping[tuple[int, bool], Any]:
        """By position and direction."""
        rows = self.query("SELECT * FROM saga.step WHERE saga_id = %s ORDER BY position", saga_id)
        return {(row.position, row.undo): row for row in rows}

    def attempts(self, saga_id: UUID, position: int = 1, *, undo: bool = False) -> int:
        """How many attempts of a step have begun."""
        return self.steps(saga_id)[position, undo].attempt

    def takeovers(self) -> int:
        """How often a lease was taken from a worker that was gone."""
        rows = self.query(
            "SELECT count(*) FROM saga.history WHERE before = 'running' AND after = 'unknown' "
            "AND reason = 'the worker is gone'"
        )
        return rows[0][0]

    def rejected(self) -> list[Any]:
        """Late results that were kept and not applied."""
        return self.query("SELECT * FROM saga.history WHERE after = 'rejected'")

    def live_workers(self) -> Sequence[int]:
        """The pids of those that have a lease."""
        rows = self.query("SELECT pid FROM saga.worker WHERE ended_at IS NULL")
        return [row.pid for row in rows]

    def clock(self) -> float:
        """The database's, epoch seconds."""
        rows = self.query("SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
        return rows[0].now

    def seconds_since(self, moment: float) -> float:
        """By the database's clock."""
        return self.clock() - moment

    def dump(self) -> str:
        """Everything, for the report of a test that failed."""
        parts = (_SAGAS, _STEPS, _WORKERS, _HISTORY)
        return "\n".join(f"-- {sql}\n" + "\n".join(map(repr, self.query(sql))) for sql in parts)
