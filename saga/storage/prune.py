"""Removing sagas that ended long ago, with all their rows; what people did stays in `audit`.

A family (a saga that nobody's step started, and its descendants) goes as a whole or not at all.
Nothing here waits for a row: what somebody holds is left for another time, so that workers and a
second run are never in each other's way.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from saga.core.states import SETTLED, SagaStatus, sql

BUSY = "held by somebody"
RECENT = "a child runs, or ended later"
UNSETTLED = "something waits for a person"
UNDELIVERED = "a callback was not delivered"

# A walk may pass many sagas that are kept; sorting all that are old for each batch takes longer.
_SETTINGS = """
SELECT set_config('statement_timeout', '300s', true), set_config('enable_sort', 'off', true)
"""
_CUTOFF = "SELECT now() - %(ago)s::interval"
# Oldest first, along `saga_created_at_idx`: a saga was started before it ended.
_ROOTS = """
SELECT id, created_at FROM saga.saga
 WHERE created_at < %(before)s AND ended_at < %(before)s AND parent_id IS NULL
   AND status = ANY(%(statuses)s::text[])
   AND (created_at, id) > (coalesce(%(at)s::timestamptz, '-infinity'), %(after)s::uuid)
 ORDER BY created_at, id LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
_KIN = """
WITH RECURSIVE kin AS (
  SELECT id AS root, id FROM unnest(%(id)s::uuid[]) AS t(id)
  UNION ALL
  SELECT k.root, s.id FROM kin k JOIN saga.saga s ON s.parent_id = k.id
)
SELECT root, id FROM kin
"""
_HOLD = """
SELECT id, coalesce(ended_at < %(before)s, false) FROM saga.saga
 WHERE id = ANY(%(id)s::uuid[]) FOR UPDATE SKIP LOCKED
"""
# Seen by statements that begin when all rows are held: no move of a step is missed.
_UNSETTLED = f"""
SELECT id FROM saga.saga
 WHERE id = ANY(%(id)s::uuid[]) AND status = {sql(SagaStatus.PARTLY_COMPENSATED)}
   AND status <> ALL(%(statuses)s::text[])
 UNION
SELECT saga_id FROM saga.step
 WHERE saga_id = ANY(%(id)s::uuid[])
   AND state NOT IN {sql(SETTLED)}
"""
# Callbacks move without their saga's row: those that are done are held, too.
_UNDELIVERED = """
WITH done AS MATERIALIZED (
  SELECT id FROM saga.delivery
   WHERE saga_id = ANY(%(id)s::uuid[]) AND state = ANY(%(done)s::text[]) FOR UPDATE SKIP LOCKED
)
SELECT DISTINCT saga_id FROM saga.delivery
 WHERE saga_id = ANY(%(id)s::uuid[]) AND id NOT IN (SELECT id FROM done)
"""
_ALLOW = "SELECT set_config('saga.pruning', pg_current_xact_id()::text, true)"
_TABLES = {"steps": "step", "signals": "signal", "callbacks": "delivery", "transitions": "history"}
_AUDIT = """
INSERT INTO saga.audit (actor, action, reason, details)
VALUES (%(by)s, 'prune', %(reason)s, %(details)s::jsonb) RETURNING id
"""
_AUDIT_MORE = "UPDATE saga.audit SET details = %(details)s::jsonb WHERE id = %(audit)s"


class Place(NamedTuple):
    """The last saga that was looked at."""

    at: datetime | None = None
    id: UUID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sagas: those that ended before, in one of these ways."""

    before: datetime
    statuses: Sequence[str]
    given_up: bool = False


@dataclass(slots=True)
class Batch:
    """Families to go, and why others stay. `last`: None if there are no more."""

    sagas: list[UUID] = field(default_factory=list[UUID])
    roots: int = 0
    kept: Counter[str] = field(default_factory=Counter[str])
    last: Place | None = None


def cutoff(connection: psycopg.Connection, before: datetime | timedelta) -> datetime:
    """The moment, by the database's clock."""
    if isinstance(before, datetime):
        return before
    (moment,) = connection.execute(_CUTOFF, {"ago": before}).fetchone() or (None,)
    assert isinstance(moment, datetime)
    return moment


def choose(connection: psycopg.Connection, wanted: Wanted, after: Place, most: int) -> Batch:
    """Locks the next families that may go; of `most` sagas that fit, those that are kept count."""
    connection.execute(_SETTINGS)
    found = connection.execute(
        _ROOTS,
        {
            "before": wanted.before,
            "statuses": list(wanted.statuses),
            "at": after.at,
            "after": after.id,
            "most": most,
        },
    ).fetchall()
    batch = Batch(last=Place(found[-1][1], found[-1][0]) if found else None)
    families: dict[UUID, list[UUID]] = {}
    for root, member in connection.execute(_KIN, {"id": [row[0] for row in found]}):
        families.setdefault(root, []).append(member)
    why = _why_not(connection, wanted, [one for family in families.values() for one in family])
    for family in families.values():
        reason = next((why[one] for one in family if one in why), None)
        if reason:
            batch.kept[reason] += 1
        else:
            batch.roots += 1
            batch.sagas += family
    return batch


def remove(connection: psycopg.Connection, saga_ids: Collection[UUID]) -> dict[str, int]:
    """Deletes sagas that this transaction has chosen; how many rows of each kind."""
    connection.execute(_ALLOW)
    gone = {
        kind: connection.execute(
            f"DELETE FROM saga.{table} WHERE saga_id = ANY(%(id)s::uuid[])".encode(),
            {"id": list(saga_ids)},
        ).rowcount
        for kind, table in _TABLES.items()
    }
    statement = "DELETE FROM saga.saga WHERE id = ANY(%(id)s::uuid[])"
    return {"sagas": connection.execute(statement, {"id": list(saga_ids)}).rowcount, **gone}


def note(
    connection: psycopg.Connection, audit: int | None, by: str, reason: str, details: str
) -> int:
    """Writes a run down, or how far it has come; the number of its row in `audit`."""
    if audit is not None:
        connection.execute(_AUDIT_MORE, {"audit": audit, "details": details})
        return audit
    parameters = {"by": by, "reason": reason, "details": details}
    (number,) = connection.execute(_AUDIT, parameters).fetchone() or (0,)
    return number


def _why_not(
    connection: psycopg.Connection, wanted: Wanted, members: list[UUID]
) -> dict[UUID, str]:
    held = dict(connection.execute(_HOLD, {"id": members, "before": wanted.before}).fetchall())
    why = {one: BUSY for one in members if one not in held}
    why |= {one: RECENT for one, is_old in held.items() if not is_old}
    asked: dict[str, Any] = {"id": members, "statuses": list(wanted.statuses)}
    why |= _each(connection.execute(_UNSETTLED, asked), UNSETTLED)
    asked = {"id": members, "done": ["delivered", *(["given_up"] if wanted.given_up else [])]}
    return why | _each(connection.execute(_UNDELIVERED, asked), UNDELIVERED)


def _each(rows: Iterable[tuple[UUID]], reason: str) -> dict[UUID, str]:
    return {row[0]: reason for row in rows}
