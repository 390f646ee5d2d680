"""Callbacks: claimed with a lease, tried, and settled or tried again later."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import psycopg

from saga.storage import payloads
from saga.storage.starts import Executor

# At most so many a host at once: a slow receiver must not keep the others waiting.
_CLAIM = f"""
WITH due AS (
  SELECT id, url, due_at FROM saga.delivery
   WHERE due_at <= now() AND split_part(url, '/', 3) <> ALL(%(busy)s::text[])
   ORDER BY due_at LIMIT 1000
), ranked AS (
  SELECT id, row_number() OVER (PARTITION BY split_part(url, '/', 3) ORDER BY due_at) AS number
    FROM due
), chosen AS (
  SELECT d.id FROM saga.delivery d JOIN ranked r ON r.id = d.id
   WHERE r.number <= %(each)s AND d.due_at <= now()
   ORDER BY d.due_at LIMIT %(most)s FOR UPDATE OF d SKIP LOCKED
), claimed AS (
  UPDATE saga.delivery d
     SET attempt = attempt + 1, due_at = now() + make_interval(secs => %(lease)s)
    FROM chosen c WHERE d.id = c.id
  RETURNING d.*
)
SELECT c.id, c.saga_id, c.status, c.url, c.attempt, c.attempt - c.forgiven,
       s.name, s.version, s.key, {payloads.read("s.result")}, {payloads.read("s.error")},
       s.attributes::text, extract(epoch FROM h.at)::float8
  FROM claimed c
  JOIN saga.saga s ON s.id = c.saga_id
  JOIN saga.history h ON h.saga_id = c.saga_id AND h.seq = c.seq
"""
_SETTLE = """
UPDATE saga.delivery
   SET state = %(state)s, response = %(response)s, error = %(error)s,
       due_at = now() + make_interval(secs => %(retry_in)s),
       settled_at = CASE WHEN %(state)s <> 'due' THEN now() END
 WHERE id = %(id)s AND attempt = %(attempt)s AND state = 'due'
RETURNING 1
"""
# An attempt that is under way must not settle what was asked for after it: hence a new token.
_AGAIN = """
WITH again AS (
  UPDATE saga.delivery
     SET state = 'due', due_at = now(), attempt = attempt + 1, forgiven = attempt + 1,
         settled_at = NULL
   WHERE id = %(id)s AND (%(saga_id)s::uuid IS NULL OR saga_id = %(saga_id)s)
  RETURNING id, saga_id
), audited AS (
  INSERT INTO saga.audit (actor, action, saga_id, details)
  SELECT %(by)s, 'retry callback', saga_id, jsonb_build_object('id', id) FROM again
)
SELECT pg_notify('saga_due', '') FROM again
"""


class Delivery(NamedTuple):
    """A callback to be made now. Payloads are JSON text; `ended_at` in epoch seconds."""

    id: UUID
    saga_id: UUID
    status: str
    url: str
    attempt: int  # the fencing token
    tries: int  # attempts that count, this one included
    name: str
    version: int
    key: str | None
    result: str | None
    error: str | None
    attributes: str | None
    ended_at: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt. `retry_in` seconds if there is to be another."""

    state: str
    response: int | None = None
    error: str | None = None
    retry_in: float | None = None


def claim(
    connection: psycopg.Connection, most: int, each: int, busy: Sequence[str], lease: float
) -> list[Delivery]:
    """Takes due ones for `lease` seconds: at most `each` a host, none of the hosts in `busy`."""
    parameters = {"most": most, "each": each, "busy": list(busy), "lease": lease}
    return [Delivery(*row) for row in connection.execute(_CLAIM, parameters)]


def settle(execute: Executor, delivery: Delivery, result: Result) -> bool:
    """Writes the result down; False if the lease had run out and another attempt was made."""
    parameters = {
        "id": delivery.id,
        "attempt": delivery.attempt,
        "state": result.state,
        "response": result.response,
        "error": result.error,
        "retry_in": result.retry_in,
    }
    return bool(execute(_SETTLE, parameters))


def again(execute: Executor, saga_id: UUID | None, delivery_id: UUID, by: str) -> bool:
    """Makes a callback (of that saga) once more, from the beginning; False if there is none."""
    return bool(execute(_AGAIN, {"saga_id": saga_id, "id": delivery_id, "by": by}))
