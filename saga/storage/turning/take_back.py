"""Taking failures out of a saga's journal, so that its code goes on as if they had not happened.

In the place of each there is then an event that the code does not wait for, so that the numbers of
the others stay. A step or a child that has settled without such a number is one whose failure was
taken back: it stays as it is until the code asks for it again (see `ask_again`). Call these inside
a transaction that holds the saga's row.
"""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from saga.core.rows import StepRow
from saga.core.states import REOPENABLE, SETTLED, StepState, sql
from saga.core.undo.reopening import failed_position
from saga.storage.connect import lock_saga
from saga.storage.hot.rows import Seen
from saga.storage.turning import by_hand
from saga.storage.turning.by_hand import Held

TAKEN_BACK = "saga.taken_back"
"""The name of the signal that stands for a failure in the journal."""

# A wait comes back with as much time as it had left when its saga ended.
_TAKE_BACK = f"""
WITH gone AS (
  SELECT t.saga_id, t.position, t.state, t.event, t.error, t.settled_at, t.attempt,
         coalesce(%(after)s, t.state) AS next,
         row_number() OVER (ORDER BY t.event NULLS LAST, t.position) AS number
    FROM saga.step t
   WHERE t.saga_id = %(id)s AND NOT t.undo AND t.position = ANY(%(positions)s::int[])
     AND t.state IN {sql(REOPENABLE)}
), held AS (
  SELECT id, seq, coalesce(now() - ended_at, interval '0') AS lost
    FROM saga.saga WHERE id = %(id)s
), voided AS (
  INSERT INTO saga.signal (saga_id, event, name, payload, sender, received_at)
  SELECT saga_id, event, %(signal)s,
         json_build_object('position', position, 'state', state, 'error', error, 'resumed',
           CASE WHEN number = 1
                THEN (SELECT max(t.position) + 1 FROM saga.step t WHERE t.saga_id = %(id)s) END),
         %(actor)s, settled_at
    FROM gone WHERE event IS NOT NULL
), stepped AS (
  UPDATE saga.step t
     SET state = g.next, event = NULL, wakes = 0, note = NULL, due_at = NULL,
         deadline = t.deadline + h.lost,
         settled_at = CASE WHEN g.next IN {sql(SETTLED)} THEN t.settled_at END
    FROM gone g, held h WHERE t.saga_id = g.saga_id AND t.position = g.position AND NOT t.undo
), moved AS (
  UPDATE saga.saga s
     SET seq = s.seq + (SELECT count(*) FROM gone WHERE next <> state), fence = s.fence + 1,
         updated_at = now()
    FROM held h WHERE s.id = h.id
)
INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, actor, reason)
SELECT g.saga_id, h.seq + g.number, g.position, false, g.state, g.next, g.attempt, %(actor)s,
       %(reason)s
  FROM gone g, held h WHERE g.next <> g.state
"""
_STILL = "SELECT events, applied, fence FROM saga.saga WHERE id = %(id)s"


def resumed_at(payload: str) -> int:
    """Of what stands for a failure: the first position of what the code asks for after it; 0:
    wherever it is.
    """
    found: Any = json.loads(payload)
    resumed = found.get("resumed") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return resumed if isinstance(resumed, int) else 0


def take_back(
    connection: psycopg.Connection,
    saga_id: UUID,
    positions: Sequence[int],
    *,
    after: str | None = None,
    reason: str | None = None,
    actor: str | None = None,
) -> None:
    """Takes the ends of failed and cancelled steps out of the journal: they run again only if the
    saga's code asks for them again. `after`: the state that they get meanwhile; None: they stay.
    """
    parameters = {
        "id": saga_id,
        "positions": list(positions),
        "after": after,
        "actor": actor,
        "reason": reason,
        "signal": TAKEN_BACK,
    }
    connection.execute(_TAKE_BACK, parameters)


def reopen(
    connection: psycopg.Connection, held: Held, actor: str, reason: str | None, due_in: float
) -> None:
    """Lets a saga that failed decide anew."""
    ended = by_hand.ended_with_failure(connection, held.id, failed_position(held.error))
    take_back(connection, held.id, ended, actor=actor)
    by_hand.go_on(connection, held.id, actor=actor, reason=reason, due_in=due_in)


def is_as_seen(connection: psycopg.Connection, saga_id: UUID, seen: Seen) -> bool:
    """Whether a decision about a saga, whose row the transaction holds, still stands."""
    row = connection.execute(_STILL, {"id": saga_id}).fetchone()
    return row == (seen.events, seen.applied, seen.fence)


def block_failures(
    connection: psycopg.Connection, saga_id: UUID, seen: Seen, failures: Sequence[StepRow]
) -> bool:
    """Makes work items of failures; False if the saga is not as it was seen. One transaction."""
    with connection.transaction():
        lock_saga(connection, saga_id)
        if not is_as_seen(connection, saga_id, seen):
            return False
        reason = "past a pivot the saga only goes forward: a person decides"
        positions = [row.position for row in failures]
        take_back(connection, saga_id, positions, after=StepState.BLOCKED, reason=reason)
    return True
