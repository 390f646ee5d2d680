"""Children that have to undo themselves because their parent does not go on."""

from collections.abc import Sequence
from uuid import UUID

import psycopg

# A child that has begun is stopped as if a person had cancelled it, unless it is past its pivot or
# at it: then it ends first. `parent_stops`: only if its parent compensates or has ended.
_RECALL = """
WITH asked AS (
  SELECT * FROM unnest(%(child)s::uuid[]) AS t(id)
), held AS (
  SELECT s.id, s.status
    FROM asked a JOIN saga.saga s ON s.id = a.id
   WHERE s.status IN ('running', 'parked')
     AND (NOT %(parent_stops)s
          OR EXISTS (SELECT FROM saga.saga p
                      WHERE p.id = s.parent_id AND p.status NOT IN ('running', 'parked')))
     AND NOT EXISTS (
       SELECT FROM saga.step t
        WHERE t.saga_id = s.id AND t.pivot AND NOT t.undo
          AND (t.state IN ('succeeded', 'running', 'unknown')
               OR (t.in_doubt AND t.state IN ('ready', 'retrying', 'blocked'))))
   ORDER BY s.id FOR UPDATE OF s
), moved AS (
  UPDATE saga.saga s
     SET status = 'compensating', undo_cause = 'cancel', seq = s.seq + 1, fence = s.fence + 1,
         note = NULL,
         error = json_build_object('type', 'Cancelled', 'message', 'its parent does not go on'),
         due_at = now() + interval '2 seconds', wakes = 0, updated_at = now()
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, s.queue, s.parent_id, h.status
), noted AS (
  INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
  SELECT id, seq, status, 'compensating', 'saga ' || parent_id, 'its parent does not go on'
    FROM moved
)
SELECT id, queue FROM moved
"""

# One that has completed, or was compensated in part for another reason, undoes itself. Once it has
# been told so by its parent, a part that is left is for a person.
_COMPENSATE = """
WITH held AS (
  SELECT s.id, s.status
    FROM unnest(%(child)s::uuid[]) AS a(id) JOIN saga.saga s ON s.id = a.id
   WHERE s.status = 'completed'
      OR (s.status = 'partly_compensated' AND (%(again)s OR s.undo_cause IS DISTINCT FROM 'parent'))
   ORDER BY s.id FOR UPDATE OF s
), moved AS (
  UPDATE saga.saga s
     SET status = 'compensating', undo_cause = 'parent', undo_only = NULL, undo_from = NULL,
         seq = s.seq + 1, fence = s.fence + 1, ended_at = NULL, note = NULL,
         due_at = now() + interval '2 seconds', wakes = 0, updated_at = now()
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, s.queue, s.parent_id, h.status
), noted AS (
  INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
  SELECT id, seq, status, 'compensating', 'saga ' || parent_id, 'its parent is undone' FROM moved
)
SELECT id, queue FROM moved
"""

# A blocked undo was resolved: whether anything is left is decided anew.
_REOPEN = """
WITH held AS (
  SELECT id, status FROM saga.saga
   WHERE id = ANY(%(id)s::uuid[]) AND status = 'partly_compensated' ORDER BY id FOR UPDATE
), moved AS (
  UPDATE saga.saga s
     SET status = 'compensating', seq = s.seq + 1, fence = s.fence + 1, ended_at = NULL,
         due_at = now() + interval '2 seconds', wakes = 0, updated_at = now()
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, s.queue, h.status
), noted AS (
  INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
  SELECT id, seq, status, 'compensating', %(actor)s, %(reason)s FROM moved
)
SELECT id, queue FROM moved
"""


_LOCK = """
SELECT FROM saga.saga WHERE id = ANY(%(child)s::uuid[]) ORDER BY id FOR UPDATE
"""


def recall(
    connection: psycopg.Connection, children: Sequence[UUID], *, parent_stops: bool = False
) -> list[tuple[UUID, str]]:
    """Stops children on their way. Returns those that turned round, with their queues."""
    parameters = {"child": list(children), "parent_stops": parent_stops}
    with connection.transaction():
        # What a statement reads besides the rows that it waits for is as old as its beginning.
        connection.execute(_LOCK, parameters)
        return connection.execute(_RECALL, parameters).fetchall()


def compensate(
    connection: psycopg.Connection, children: Sequence[UUID], *, again: bool = False
) -> list[tuple[UUID, str]]:
    """Turns children round that have ended; `again`: also those that were told before."""
    parameters = {"child": list(children), "again": again}
    return connection.execute(_COMPENSATE, parameters).fetchall()


def reopen(
    connection: psycopg.Connection,
    saga_ids: Sequence[UUID],
    actor: str | None = None,
    reason: str | None = None,
) -> list[tuple[UUID, str]]:
    """Lets partly compensated sagas find their end anew."""
    parameters = {"id": list(saga_ids), "actor": actor, "reason": reason}
    return connection.execute(_REOPEN, parameters).fetchall()
