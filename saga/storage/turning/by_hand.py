"""What people do to sagas: the parts of short transactions that hold the saga's row."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from saga.core.states import FORWARD, REOPENABLE, SagaStatus, StepState, sql
from saga.core.undo.plan import Choice
from saga.storage import payloads
from saga.storage.turning.move_saga import move_saga, moved


class Held(NamedTuple):
    """A saga whose row the transaction holds."""

    id: UUID
    name: str
    queue: str
    status: str
    undo_cause: str | None
    error: str | None
    parent_id: UUID | None


_COLUMNS = f"id, name, queue, status, undo_cause, {payloads.read('error')}, parent_id"
_HOLD = f"SELECT {_COLUMNS} FROM saga.saga WHERE id = %(id)s FOR UPDATE"
_HOLD_ALL = f"SELECT {_COLUMNS} FROM saga.saga WHERE id = ANY(%(id)s) ORDER BY id FOR UPDATE"
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

_TURN_ROUND = move_saga(
    SagaStatus.COMPENSATING,
    undo_cause="%(cause)s",
    undo_only="%(only)s::int[]",
    undo_from="%(since)s::int",
    error=f"coalesce(s.error, {payloads.written('%(error)s')})",
)
_GO_ON = move_saga(SagaStatus.RUNNING, undo_cause="NULL", error="NULL")

_FRESH_BUDGET = """
UPDATE saga.step SET forgiven = attempt, lost = 0
 WHERE saga_id = %(id)s AND position = %(position)s AND undo = %(undo)s
"""

# What a failure ended: everything that failed or was cancelled since, the failed step included. If
# the code failed, that is what was dropped since. Its waits ended in the very decision to fail, and
# cannot be told from those that it had given up before: those it gives up again.
_ENDED_WITH = f"""
WITH failed AS (
  SELECT max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND position = %(position)s::int AND NOT undo
     AND after = {sql(StepState.FAILED)}
), turned AS (
  SELECT max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND position IS NULL AND before IN {sql(FORWARD)}
     AND after IN {sql((SagaStatus.COMPENSATING, SagaStatus.FAILED))}
), ended AS MATERIALIZED (
  SELECT position, after, max(seq) AS seq FROM saga.history
   WHERE saga_id = %(id)s AND NOT undo AND after IN {sql(REOPENABLE)}
   GROUP BY position, after
)
SELECT t.position
  FROM saga.step t JOIN ended e ON e.position = t.position AND e.after = t.state
 WHERE t.saga_id = %(id)s AND NOT t.undo AND t.state IN {sql(REOPENABLE)}
   AND (e.seq >= coalesce((SELECT seq FROM failed), (SELECT seq FROM turned))
        OR (%(position)s::int IS NULL AND t.state = {sql(StepState.CANCELLED)}
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


def hold_all(connection: psycopg.Connection, saga_ids: Sequence[UUID]) -> dict[UUID, Held]:
    """The same of several."""
    rows = connection.execute(_HOLD_ALL, {"id": list(saga_ids)})
    return {row[0]: Held(*row) for row in rows}


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
    moved(
        connection,
        _TURN_ROUND,
        [saga_id],
        actor=actor,
        reason=reason,
        due_in=due_in,
        cause=cause,
        only=None if choice.only is None else sorted(choice.only),
        since=choice.since or None,
        error=error,
    )


def go_on(
    connection: psycopg.Connection, saga_id: UUID, *, actor: str, reason: str | None, due_in: float
) -> None:
    """Makes a saga that failed go forward again."""
    moved(connection, _GO_ON, [saga_id], actor=actor, reason=reason, due_in=due_in)


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
