"""An effect that is told of too late: refused as an outcome, and yet it has to be undone.

The step keeps its state. The result, if there is one, is stored beside it, and what undid the step
without knowing that result, or did not undo it at all, has another look.
"""

from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.core.states import RESULTLESS, TURNED, SagaStatus, StepState, sql
from saga.storage import payloads
from saga.storage.connect import lock_saga
from saga.storage.turning.move_saga import move_saga, moved

# A step that is still open has its outcome before it: whoever holds it acts under the same key.
_KEEP = f"""
WITH held AS (
  SELECT s.id, s.queue, s.status, s.seq, t.position
    FROM saga.saga s JOIN saga.step t ON t.saga_id = s.id
   WHERE s.id = %(id)s AND t.position = %(position)s AND NOT t.undo AND t.result IS NULL
     AND t.state IN {sql(RESULTLESS)}
     FOR UPDATE OF s, t
), kept AS (
  UPDATE saga.step t
     SET result = coalesce({payloads.written("%(result)s")}, t.result), in_doubt = true
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
_TURN_ROUND = move_saga(
    SagaStatus.COMPENSATING,
    f"s.status IN {sql(TURNED)}",
    undo_cause="coalesce(s.undo_cause, 'failure')",
)
_LOOK_AGAIN = f"""
UPDATE saga.saga SET due_at = now(), wakes = 0
 WHERE id = %(id)s AND status = {sql(SagaStatus.COMPENSATING)}
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
        goes_on = status not in TURNED and status != SagaStatus.COMPENSATING
        if goes_on and undo is None:
            return None  # it stands, as the ledger says; what compensates the saga later undoes it
        again = undo == StepState.RUNNING or (undo == StepState.SUCCEEDED and blind)
        if again:
            after = StepState.UNKNOWN if undo == StepState.RUNNING else StepState.READY
            undo_again = {**parameters, "before": undo, "after": after, "reason": _REASON}
            connection.execute(_UNDO_AGAIN, undo_again)
        if not goes_on and (again or undo is None):
            moved(connection, _TURN_ROUND, [key.saga_id], reason=_REASON, due_in=0.0)
        connection.execute(_LOOK_AGAIN, parameters)
    return key.saga_id, queue
