"""An effect that is told of too late: refused as an outcome, and yet it has to be undone.

The step keeps its state. The result, if there is one, is stored beside it, and what undid the step
without knowing that result, or did not undo it at all, has another look.
"""

from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.storage.connect import lock_saga

# A step that is still open has its outcome before it: whoever holds it acts under the same key.
_KEEP = """
WITH held AS (
  SELECT s.id, s.queue, s.status, s.seq, t.position
    FROM saga.saga s JOIN saga.step t ON t.saga_id = s.id
   WHERE s.id = %(id)s AND t.position = %(position)s AND NOT t.undo AND t.result IS NULL
     AND t.state IN ('failed', 'cancelled', 'skipped')
     FOR UPDATE OF s, t
), kept AS (
  UPDATE saga.step t SET result = coalesce(%(result)s::json, t.result), in_doubt = true
    FROM held h WHERE t.saga_id = h.id AND t.position = h.position AND NOT t.undo
  RETURNING t.saga_id
), fenced AS (
  UPDATE saga.saga s SET fence = s.fence + 1 FROM kept k WHERE s.id = k.saga_id
)
SELECT h.queue, h.status, u.state, u.in_doubt
  FROM held h LEFT JOIN saga.step u ON u.saga_id = h.id AND u.position = h.position AND u.undo
"""
_UNDO_AGAIN = """
WITH undone AS (
  UPDATE saga.step
     SET state = %(after)s, worker_id = NULL, settled_at = NULL, wakes = -1, due_at = now(),
         forgiven = attempt, lost = 0
   WHERE saga_id = %(id)s AND position = %(position)s AND undo AND state = %(before)s
  RETURNING saga_id, position, attempt
), moved AS (
  UPDATE saga.saga s SET seq = seq + 1 FROM undone u WHERE s.id = u.saga_id RETURNING s.id, s.seq
)
INSERT INTO saga.history (saga_id, seq, position, undo, before, after, attempt, reason)
SELECT m.id, m.seq, u.position, true, %(before)s, %(after)s, u.attempt, %(reason)s
  FROM moved m JOIN undone u ON u.saga_id = m.id
"""
_TURN_ROUND = """
WITH held AS (
  SELECT id, status FROM saga.saga WHERE id = %(id)s FOR UPDATE
), moved AS (
  UPDATE saga.saga s
     SET status = 'compensating', seq = s.seq + 1, fence = s.fence + 1, due_at = now(), wakes = 0,
         undo_cause = coalesce(s.undo_cause, 'failure'), ended_at = NULL, updated_at = now()
    FROM held h
   WHERE s.id = h.id AND h.status IN ('failed', 'compensated', 'cancelled', 'partly_compensated')
  RETURNING s.id, s.seq, h.status
)
INSERT INTO saga.history (saga_id, seq, before, after, reason)
SELECT id, seq, status, 'compensating', %(reason)s FROM moved
"""
_LOOK_AGAIN = """
UPDATE saga.saga SET due_at = now(), wakes = 0 WHERE id = %(id)s AND status = 'compensating'
"""
_REASON = "an effect came to light that was not undone"


def keep_effect(
    connection: psycopg.Connection, key: StepKey, result: str | None
) -> tuple[UUID, str] | None:
    """Keeps what a late attempt says of a step that was given up, and sees to its undo. `result`
    None: it may have happened.

    Returns the saga and its queue if there is something to do there now. One short transaction.
    """
    parameters = {"id": key.saga_id, "position": key.position, "result": result}
    with connection.transaction():
        lock_saga(connection, key.saga_id)
        row = connection.execute(_KEEP, parameters).fetchone()
        if row is None:
            return None
        queue, status, undo, blind = row
        goes_on = status in ("running", "parked", "completed")
        if goes_on and undo is None:
            return None  # it stands, as the ledger says; what compensates the saga later undoes it
        again = undo == "running" or (undo == "succeeded" and blind)
        if again:
            after = "unknown" if undo == "running" else "ready"
            undo_again = {**parameters, "before": undo, "after": after, "reason": _REASON}
            connection.execute(_UNDO_AGAIN, undo_again)
        if not goes_on and (again or undo is None):
            connection.execute(_TURN_ROUND, {**parameters, "reason": _REASON})
        connection.execute(_LOOK_AGAIN, parameters)
    return key.saga_id, queue
