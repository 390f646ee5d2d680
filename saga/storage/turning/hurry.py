"""What waits for another attempt is tried now: somebody knows that its cause is gone."""

from uuid import UUID

import psycopg

from saga.core.states import StepState, sql

# The sweeper moves it as if its time had come, and is told that it has.
_HURRY = f"""
WITH hurried AS (
  UPDATE saga.step SET due_at = now()
   WHERE saga_id = %(id)s AND state IN {sql((StepState.RETRYING, StepState.UNKNOWN))}
  RETURNING 1
)
SELECT count(*), pg_notify('saga_due', '') FROM hurried
"""


def hurry(connection: psycopg.Connection, saga_id: UUID) -> bool:
    """Whether there was such a step or undo. In a transaction that holds the saga's row."""
    row = connection.execute(_HURRY, {"id": saga_id}).fetchone()
    return bool(row and row[0])
