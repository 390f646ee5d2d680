"""What people do to sagas: the parts of short transactions that hold the saga's row."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from saga.core.undo.plan import Choice


class Held(NamedTuple):
    """A saga whose row the transaction holds."""

    id: UUID
    name: str
    queue: str
    status: str
    undo_cause: str | None
    error: str | None
    parent_id: UUID | None


_COLUMNS = "id, name, queue, status, undo_cause, error::text, parent_id"
_HOLD = f"SELECT {_COLUMNS} FROM saga.saga WHERE id = %(id)s FOR UPDATE"
_LOOK = f"SELECT {_COLUMNS} FROM saga.saga WHERE id = %(id)s"

# Sagas are locked in the order of their ids, whatever their kinship.
_HOLD_FAMILY = f"""
WITH RECURSIVE kin AS (
  SELECT id FROM saga.saga WHERE id = %(id)s
  UNION
  SELECT s.id FROM kin k JOIN saga.saga s ON s.parent_id = k.id
)
SELECT {_COLUMNS} FROM saga.saga WHERE id IN (SELECT id FROM kin) ORDER BY id FOR UPDATE
"""

_TURN_ROUND = """
WITH held AS (
  SELECT id, status FROM saga.saga WHERE id = %(id)s FOR UPDATE
), moved AS (
  UPDATE saga.saga s
     SET status = 'compensating', undo_cause = %(cause)s, undo_only = %(only)s::int[],
         undo_from = %(since)s::int, error = coalesce(s.error, %(error)s::json),
         seq = s.seq + 1, fence = s.fence + 1, ended_at = NULL, note = NULL, wakes = 0,
         due_at = now() + make_interval(secs => %(due_in)s), updated_at = now()
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, h.status
)
INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
SELECT id, seq, status, 'compensating', %(actor)s, %(reason)s FROM moved
"""

_GO_ON = """
WITH held AS (
  SELECT id, status FROM saga.saga WHERE id = %(id)s FOR UPDATE
), moved AS (
  UPDATE saga.saga s
     SET status = 'running', undo_cause = NULL, error = NULL, ended_at = NULL, note = NULL,
         seq = s.seq + 1, fence = s.fence + 1, wakes = 0,
         due_at = now() + make_interval(secs => %(due_in)s), updated_at = now()
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, h.status
)
INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
SELECT id, seq, status, 'running', %(actor)s, %(reason)s FROM moved
"""

_FRESH_BUDGET = """
UPDATE saga.step SET forgiven = attempt, lost = 0
 WHERE saga_id = %(id)s AND position = %(position)s AND undo = %(undo)s
"""

# What a failure ended: everything that failed or was cancelled since, the failed step included. If
# the code failed, that is what was dropped since. Its waits ended in the very decision to fail, and
# cannot be told from those that it had given up before: those it gives up again.
_ENDED_WITH = """
WITH failed AS (
  SELECT max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND position = %(position)s::int AND NOT undo AND after = 'failed'
), turned AS (
  SELECT max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND position IS NULL AND before IN ('running', 'parked')
     AND after IN ('compensating', 'failed')
), ended AS MATERIALIZED (
  SELECT position, after, max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND NOT undo AND after IN ('failed', 'cancelled')
   GROUP BY position, after
)
SELECT t.position
  FROM saga.step t JOIN ended e ON e.position = t.position AND e.after = t.state
 WHERE t.saga_id = %(id)s AND NOT t.undo AND t.state IN ('failed', 'cancelled')
   AND (e.seq >= coalesce((SELECT seq FROM failed), (SELECT seq FROM turned))
        OR (%(position)s::int IS NULL AND t.state = 'cancelled'
            AND t.kind NOT IN ('step', 'child')))
 ORDER BY t.position
"""


def announced_result(connection: psycopg.Connection, step: str) -> Any:
    """The JSON Schema of what a step returns; None if no worker has announced it."""
    query = "SELECT result_schema FROM saga.step_type WHERE name = %s"
    row = connection.execute(query, (step,)).fetchone()
    return row and row[0]


def hold(connection: psycopg.Connection, saga_id: UUID) -> Held | None:
    """Locks a saga; None if there is none of this id."""
    row = connection.execute(_HOLD, {"id": saga_id}).fetchone()
    return Held(*row) if row else None


def look(connection: psycopg.Connection, saga_id: UUID) -> Held | None:
    """The same without a lock."""
    row = connection.execute(_LOOK, {"id": saga_id}).fetchone()
    return Held(*row) if row else None


def hold_family(connection: psycopg.Connection, saga_id: UUID) -> dict[UUID, Held]:
    """Locks a saga and its children, and theirs."""
    rows = connection.execute(_HOLD_FAMILY, {"id": saga_id})
    return {row[0]: Held(*row) for row in rows}


def turn_round(
    connection: psycopg.Connection,
    saga_id: UUID,
    *,
    cause: str,
    choice: Choice,
    error: str,
    actor: str,
    reason: str | None,
    due_in: float,
) -> None:
    """Makes a saga compensate; the choice is kept with it. `error` only if it has none."""
    only = None if choice.only is None else sorted(choice.only)
    parameters = {"only": only, "since": choice.since or None, "error": error, "cause": cause}
    _act(connection, _TURN_ROUND, saga_id, actor, reason, due_in, parameters)


def go_on(
    connection: psycopg.Connection, saga_id: UUID, *, actor: str, reason: str | None, due_in: float
) -> None:
    """Makes a saga that failed go forward again."""
    _act(connection, _GO_ON, saga_id, actor, reason, due_in, {})


def grant_fresh_budget(
    connection: psycopg.Connection, saga_id: UUID, position: int, *, undo: bool
) -> None:
    """Lets the attempts so far not count; their number, the fencing token, goes on."""
    connection.execute(_FRESH_BUDGET, {"id": saga_id, "position": position, "undo": undo})


def ended_with_failure(
    connection: psycopg.Connection, saga_id: UUID, position: int | None
) -> list[int]:
    """Positions of what failed or was cancelled by the failure of a step, or of the code (None)."""
    rows = connection.execute(_ENDED_WITH, {"id": saga_id, "position": position})
    return [row[0] for row in rows]


def _act(
    connection: psycopg.Connection,
    statement: str,
    saga_id: UUID,
    actor: str,
    reason: str | None,
    due_in: float,
    more: Mapping[str, Any],
) -> None:
    parameters = {"id": saga_id, "actor": actor, "reason": reason, "due_in": due_in, **more}
    connection.execute(statement.encode(), parameters)
