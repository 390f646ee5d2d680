"""Answering approvals: one statement that changes all or nothing."""

from uuid import UUID

from saga.core.codec import encode
from saga.core.states import StepState, sql
from saga.core.which_approval import Answer, Asked
from saga.storage import payloads
from saga.storage.starts import Executor

_OPEN, _ANSWERED = sql(StepState.WAITING), sql(StepState.SUCCEEDED)

# The row that is locked is the one that was chosen: if it was answered meanwhile, nothing is.
_ANSWER = f"""
WITH held AS (
  SELECT s.id, s.queue, s.seq, s.events, t.position
    FROM saga.saga s JOIN saga.step t ON t.saga_id = s.id
   WHERE s.id = %(id)s AND t.kind = 'approval' AND t.state = {_OPEN} AND NOT t.undo
     AND (%(name)s::text IS NULL OR t.name = %(name)s) AND (t.due_at IS NULL OR t.due_at > now())
     AND (t.position = %(position)s::int OR %(position)s::int IS NULL AND NOT EXISTS (
           SELECT FROM saga.step o
            WHERE o.saga_id = %(id)s AND o.kind = 'approval' AND NOT o.undo
              AND (%(name)s::text IS NULL OR o.name = %(name)s) AND o.position <> t.position))
     FOR UPDATE OF s, t
), stepped AS (
  UPDATE saga.step t
     SET state = {_ANSWERED}, result = {payloads.written("%(result)s")},
         event = h.events + 1, settled_at = now(), due_at = NULL
    FROM held h
   WHERE t.saga_id = h.id AND t.position = h.position AND NOT t.undo AND t.state = {_OPEN}
  RETURNING t.saga_id, t.position
), moved AS (
  UPDATE saga.saga s
     SET events = s.events + 1, seq = s.seq + 1, due_at = now() + make_interval(secs => %(due_in)s),
         updated_at = now()
    FROM stepped t WHERE s.id = t.saga_id
  RETURNING s.id, s.seq, s.queue
), noted AS (
  INSERT INTO saga.history (saga_id, seq, position, undo, before, after, actor, reason)
  SELECT m.id, m.seq, t.position, false, {_OPEN}, {_ANSWERED}, %(actor)s, %(reason)s
    FROM moved m JOIN stepped t ON t.saga_id = m.id
), audited AS (
  INSERT INTO saga.audit (actor, action, saga_id, position, reason)
  SELECT %(actor)s, %(action)s, t.saga_id, t.position, %(reason)s FROM stepped t
)
SELECT m.queue, t.position FROM moved m JOIN stepped t ON t.saga_id = m.id
"""


def answer(
    execute: Executor, saga_id: UUID, given: Answer, due_in: float
) -> tuple[str, int] | None:
    """Answers the open approval that the answer names, if there can be no doubt which.

    Returns the queue to wake and the position; None: nothing was changed.
    """
    rows = execute(
        _ANSWER,
        {
            "id": saga_id,
            "name": given.name,
            "position": given.position,
            "result": encode(given.stored, "approval"),
            "actor": given.by,
            "action": given.action,
            "reason": given.reason,
            "due_in": due_in,
        },
    )
    return (rows[0][0], rows[0][1]) if rows else None


_ASKED = f"""
SELECT position, name, state, {payloads.read("result")},
       coalesce(state = {_OPEN} AND due_at <= now(), false)
  FROM saga.step WHERE saga_id = %(id)s AND kind = 'approval' AND NOT undo ORDER BY position
"""


def asked(execute: Executor, saga_id: UUID) -> list[Asked]:
    """Every approval that a saga has asked for, in order."""
    return [Asked(*row) for row in execute(_ASKED, {"id": saga_id})]
