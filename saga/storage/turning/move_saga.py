"""One statement that moves sagas by something other than a decision about them."""

from collections.abc import Iterable
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg

from saga.core.states import SagaStatus, sql

_AS_A_RULE: dict[str, LiteralString] = {
    "ended_at": "NULL",
    "note": "NULL",
    "wakes": "0",
    "due_at": "now() + make_interval(secs => %(due_in)s)",
    "updated_at": "now()",
}


def move_saga(
    to: SagaStatus,
    where: LiteralString = "true",
    *,
    actor: LiteralString = "%(actor)s::text",
    **changes: LiteralString,
) -> LiteralString:
    """The statement that moves sagas `s` to a status; `changes` of other columns, as expressions.

    Whatever was decided, or leased, before does not land after it: that is the fence. It answers
    with the sagas that moved and their queues.
    """
    named = cast("dict[LiteralString, LiteralString]", _AS_A_RULE | changes)
    changed = "".join(f",\n         {column} = {value}" for column, value in named.items())
    return f"""
WITH held AS (
  SELECT s.id, s.status
    FROM unnest(%(id)s::uuid[]) AS a(id) JOIN saga.saga s ON s.id = a.id
   WHERE {where}
   ORDER BY s.id FOR UPDATE OF s
), moved AS (
  UPDATE saga.saga s
     SET status = {sql(to)}, seq = s.seq + 1, fence = s.fence + 1{changed}
    FROM held h WHERE s.id = h.id
  RETURNING s.id, s.seq, s.queue, s.parent_id, h.status
), noted AS (
  INSERT INTO saga.history (saga_id, seq, before, after, actor, reason)
  SELECT id, seq, status, {sql(to)}, {actor}, %(reason)s FROM moved
)
SELECT id, queue FROM moved
"""


def moved(
    connection: psycopg.Connection,
    statement: LiteralString,
    ids: Iterable[UUID],
    *,
    reason: str | None,
    actor: str | None = None,
    due_in: float = 2.0,
    **more: Any,
) -> list[tuple[UUID, str]]:
    """Carries out what `move_saga` made. `due_in`: seconds until the sweeper looks after them.

    Returns the sagas that moved, with their queues.
    """
    parameters = {"id": list(ids), "reason": reason, "actor": actor, "due_in": due_in, **more}
    return connection.execute(statement, parameters).fetchall()
