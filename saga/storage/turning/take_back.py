"""Taking failures out of a saga's journal, so that its code goes on as if they had not happened.

In the place of each there is then an event that the code does not wait for, so that the numbers of
the others stay. Call these inside a transaction that holds the saga's row.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import psycopg

from saga.core.rows import StepRow
from saga.core.states import REOPENABLE, StepState, sql
from saga.storage.connect import lock_saga
from saga.storage.hot.rows import Seen
from saga.storage.hot.store import Store

TAKEN_BACK = "saga.taken_back"
"""The name of the signal that stands for a failure in the journal."""


class Reopened(NamedTuple):
    """A step that is open again: where it may run, if it needs a worker."""

    position: int
    state: str
    name: str
    queue: str | None


# A wait comes back with as much time as it had left when its saga ended.
_TAKE_BACK = f"""
WITH gone AS (
  SELECT t.saga_id, t.position, t.state, t.event, t.error, t.settled_at, t.attempt, t.kind,
         CASE WHEN t.kind = 'step' OR %(after)s = {sql(StepState.BLOCKED)} THEN %(after)s
              ELSE {sql(StepState.WAITING)} END AS next,
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
         json_build_object('position', position, 'state', state, 'error', error), %(actor)s,
         settled_at
    FROM gone WHERE event IS NOT NULL
), stepped AS (
  UPDATE saga.step t
     SET state = g.next,
         forgiven = CASE WHEN %(after)s = {sql(StepState.READY)} THEN g.attempt ELSE t.forgiven END,
         lost = CASE WHEN %(after)s = {sql(StepState.READY)} THEN 0 ELSE t.lost END,
         error = CASE WHEN %(after)s = {sql(StepState.READY)} THEN NULL ELSE t.error END,
         event = NULL, settled_at = NULL, wakes = 0, note = NULL,
         deadline = t.deadline + h.lost,
         due_at = CASE g.next
                  WHEN {sql(StepState.READY)} THEN now() + make_interval(secs => %(due_in)s)
                  WHEN {sql(StepState.WAITING)}
                  THEN CASE WHEN g.kind = 'child' THEN now() ELSE t.deadline + h.lost END END
    FROM gone g, held h WHERE t.saga_id = g.saga_id AND t.position = g.position AND NOT t.undo
  RETURNING t.position, t.state, t.name, t.queue
), moved AS (
  UPDATE saga.saga s
     SET seq = s.seq + (SELECT count(*) FROM gone), fence = s.fence + 1, updated_at = now()
    FROM held h WHERE s.id = h.id
), noted AS (
  INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, actor, reason)
  SELECT g.saga_id, h.seq + g.number, g.position, false, g.state, g.next, g.attempt, %(actor)s,
         %(reason)s
    FROM gone g, held h
)
SELECT position, state, name, queue FROM stepped ORDER BY position
"""
_STILL = "SELECT events, applied, fence FROM saga.saga WHERE id = %(id)s"


def take_back(
    connection: psycopg.Connection,
    saga_id: UUID,
    positions: Sequence[int],
    *,
    after: str,
    reason: str | None,
    actor: str | None = None,
    due_in: float = 2.0,
) -> list[Reopened]:
    """Opens failed and cancelled steps again: `ready` with a fresh budget of attempts, or
    `blocked`; what is no step waits again.
    """
    parameters = {
        "id": saga_id,
        "positions": list(positions),
        "after": after,
        "actor": actor,
        "reason": reason,
        "due_in": due_in,
        "signal": TAKEN_BACK,
    }
    return [Reopened(*row) for row in connection.execute(_TAKE_BACK, parameters)]


def block_failures(store: Store, saga_id: UUID, seen: Seen, failures: Sequence[StepRow]) -> bool:
    """Makes work items of failures; False if the saga is not as it was seen. One transaction."""
    connection = store.connection
    with connection.transaction():
        lock_saga(connection, saga_id)
        if connection.execute(_STILL, {"id": saga_id}).fetchone() != (
            seen.events,
            seen.applied,
            seen.fence,
        ):
            return False
        reason = "past a pivot the saga only goes forward: a person decides"
        positions = [row.position for row in failures]
        take_back(connection, saga_id, positions, after=StepState.BLOCKED, reason=reason)
    return True
