"""Workers' leases, and finding those that died."""

import logging
import secrets
import sys
from collections.abc import Sequence
from uuid import UUID

import psycopg

log = logging.getLogger("saga.workers")

# First key of the advisory locks that live workers hold, and of the sweeper's. The second one is the
# worker's id, as the release before this one knows it (and 0), until it stands in a row: any role
# may take any lock, so whoever finds a stranger in its place takes another key.
PRESENCE = 0x5A6A_0002
LEADER = 0x5A6A_0003

PYTHON = ".".join(map(str, sys.version_info[:2]))
"""Of this process; a worker says it, so that a saga that moves to another Python is known by it."""

_REGISTER = """
INSERT INTO saga.worker (name, host, pid, queues, lease_until, code, handover, python)
VALUES (%(name)s, %(host)s, %(pid)s, %(queues)s, now() + make_interval(secs => %(lease)s), %(code)s, %(handover)s, %(python)s)
RETURNING id, extract(epoch FROM clock_timestamp())::float8
"""
_RENEW = """
UPDATE saga.worker SET seen_at = now(), lease_until = now() + make_interval(secs => %(lease)s)
 WHERE id = %(id)s AND ended_at IS NULL
RETURNING extract(epoch FROM clock_timestamp())::float8
"""
_END = """
UPDATE saga.worker SET ended_at = now(), ended_why = %(why)s WHERE id = %(id)s AND ended_at IS NULL
RETURNING queues
"""
_HAS_ENDED = "SELECT 1 FROM saga.worker WHERE id = %(id)s AND ended_at IS NOT NULL"
_HANDOVER_OF = """
SELECT handover FROM saga.worker
 WHERE ended_at IS NULL AND handover IS NOT NULL AND %(queue)s = ANY(queues) AND %(code)s = ANY(code)
 ORDER BY random() LIMIT 1
"""
_HANDOVERS = """
SELECT queue, array_agg(DISTINCT handover) FROM saga.worker, unnest(queues) AS queue
 WHERE ended_at IS NULL AND handover IS NOT NULL GROUP BY queue
"""
# Who may not change workers' rows is none, and a stranger to their locks.
_HELD = """
SELECT l.classid::bigint AS kind, l.objid::bigint AS key, a.pid, a.usename AS role, a.state_change,
       has_table_privilege(a.usesysid, 'saga.worker', 'UPDATE') AS is_ours
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_UNSEAT = f"""
SELECT pg_terminate_backend(h.pid) FROM ({_HELD}) h JOIN saga.lead d ON d.key = h.key
 WHERE h.kind = %(leader)s AND h.is_ours AND h.state_change < now() - make_interval(secs => %(patience)s)
"""
_LEAD_STRANGER = f"""
SELECT h.key, h.role, h.pid FROM ({_HELD}) h JOIN saga.lead d ON d.key = h.key
 WHERE h.kind = %(leader)s AND NOT h.is_ours
"""
_MOVE_LEAD = "UPDATE saga.lead SET key = %(new)s WHERE key = %(old)s RETURNING key"
_PRESENCE_OF = "SELECT coalesce(presence, id %% 2147483648) FROM saga.worker WHERE id = %(id)s"
_PRESENCE_STRANGER = f"""
SELECT h.key, h.role, h.pid FROM ({_HELD}) h WHERE h.kind = %(presence)s AND h.key = %(key)s AND NOT h.is_ours
"""
_MOVE_PRESENCE = "UPDATE saga.worker SET presence = %(new)s WHERE id = %(id)s"
# The time limit holds for this statement, and is set before the row is there that asks for the lock.
_LEAD = """
SELECT pg_advisory_lock(%(leader)s, %(key)s)
  FROM (SELECT set_config('lock_timeout', %(limit)s, true) AS set_to OFFSET 0) AS patience
 WHERE set_to IS NOT NULL
"""
# Lost: ended workers with steps in their name, and those whose lease has run out. Silent: those that
# hold no presence lock.
_MISSING = f"""
WITH held AS MATERIALIZED (SELECT h.key FROM ({_HELD}) h WHERE h.kind = %(presence)s AND h.is_ours)
SELECT w.id, w.ended_at IS NOT NULL OR w.lease_until < now(), extract(epoch FROM w.seen_at)::float8
  FROM saga.worker w
 WHERE (w.ended_at IS NULL
        AND (w.lease_until < now()
             OR coalesce(w.presence, w.id %% 2147483648) NOT IN (SELECT key FROM held)))
    OR (w.ended_at > now() - interval '1 day'
        AND EXISTS (SELECT FROM saga.step t WHERE t.worker_id = w.id))
"""
_SERVED = "SELECT DISTINCT unnest(queues) FROM saga.worker WHERE ended_at IS NULL"
_LEASES = """
SELECT t.saga_id, t.position, t.undo, t.attempt, t.queue, t.name FROM saga.step t
 WHERE t.worker_id = ANY(%(ids)s) LIMIT %(most)s
"""


def register(
    connection: psycopg.Connection,
    name: str,
    host: str,
    pid: int,
    queues: Sequence[str],
    lease: float,
    code: Sequence[str] = (),
    handover: str | None = None,
) -> tuple[int, float]:
    """A new worker that holds its presence lock. Returns its id and the database's clock. `code`
    and `handover`: see `handover_of`.
    """
    row = connection.execute(
        _REGISTER,
        {
            "name": name,
            "host": host,
            "pid": pid,
            "queues": list(queues),
            "lease": lease,
            "code": list(code),
            "handover": handover,
            "python": PYTHON,
        },
    ).fetchone()
    assert row is not None
    hold(connection, row[0])
    return row


def hold(connection: psycopg.Connection, worker_id: int) -> bool:
    """Takes the presence lock for as long as the connection lives; False while another has it.

    That is an earlier connection of the same worker, which the server does not know to be dead; or
    a stranger, whom the worker leaves it to, and takes another.
    """
    row = connection.execute(_PRESENCE_OF, {"id": worker_id}).fetchone()
    key = row[0] if row else worker_id % 2**31
    if _try_lock(connection, key):
        return True
    parameters = {"presence": PRESENCE, "key": key}
    stranger = connection.execute(_PRESENCE_STRANGER, parameters).fetchone()
    if stranger is None:
        return False
    _tell_of(stranger, "a lock of this worker")
    key = _new_key()
    connection.execute(_MOVE_PRESENCE, {"id": worker_id, "new": key})
    return _try_lock(connection, key)


def _try_lock(connection: psycopg.Connection, key: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (PRESENCE, key)).fetchone()
    return bool(row and row[0])


def _new_key() -> int:
    return secrets.randbelow(2**31)


def _tell_of(stranger: tuple[int, str, int], what: str) -> None:
    _, role, pid = stranger
    log.warning(
        "%s is held by role %s (session %s), which is no worker's: another is taken. End that "
        "session, or the role's right to connect.",
        what,
        role,
        pid,
    )


def renew(connection: psycopg.Connection, worker_id: int, lease: float) -> float | None:
    """The database's clock; None if the worker was taken for dead."""
    row = connection.execute(_RENEW, {"id": worker_id, "lease": lease}).fetchone()
    return row[0] if row else None


def end(connection: psycopg.Connection, worker_id: int, why: str) -> list[str] | None:
    """Ends a worker. The queues it served; None if that had been done before."""
    row = connection.execute(_END, {"id": worker_id, "why": why}).fetchone()
    return row[0] if row else None


def handover_of(connection: psycopg.Connection, queue: str, code: str) -> str | None:
    """Where a wake-up on `queue` is handed over to a worker that serves it and has the code."""
    row = connection.execute(_HANDOVER_OF, {"queue": queue, "code": code}).fetchone()
    return row[0] if row else None


def handovers(connection: psycopg.Connection) -> dict[str, list[str]]:
    """For each queue, where wake-ups of it may wait instead."""
    return dict(connection.execute(_HANDOVERS).fetchall())


def served(connection: psycopg.Connection) -> set[str]:
    """The queues that live workers serve."""
    return {row[0] for row in connection.execute(_SERVED)}


def has_ended(connection: psycopg.Connection, worker_id: int) -> bool:
    """Whether it is granted nothing any more: it was taken for dead."""
    return bool(connection.execute(_HAS_ENDED, {"id": worker_id}).fetchall())


def missing(connection: psycopg.Connection) -> tuple[set[int], dict[int, float]]:
    """Workers that are lost: their lease has run out, or they ended with steps in their name. And
    those that hold no presence lock, with the time they were last seen.
    """
    rows = connection.execute(_MISSING, {"presence": PRESENCE}).fetchall()
    lost = {worker_id for worker_id, is_lost, _ in rows if is_lost}
    return lost, {worker_id: seen for worker_id, is_lost, seen in rows if not is_lost}


def leases(
    connection: psycopg.Connection, ids: Sequence[int], most: int
) -> list[tuple[UUID, int, bool, int, str, str]]:
    """Steps leased to these workers: saga, position, undo, attempt, queue, name."""
    return connection.execute(_LEASES, {"ids": list(ids), "most": most}).fetchall()


def unseat(connection: psycopg.Connection, patience: float) -> bool:
    """Cuts the connection of a leader that has asked for nothing so long: it hangs, or is stopped.

    Otherwise a stopped process, whose connection stays open, would keep all others from sweeping.
    """
    return bool(connection.execute(_UNSEAT, {"leader": LEADER, "patience": patience}).fetchall())


def move_lead(connection: psycopg.Connection) -> bool:
    """Whether the leader's lock was held by a stranger, so that there is another one now."""
    stranger = connection.execute(_LEAD_STRANGER, {"leader": LEADER}).fetchone()
    if stranger is None:
        return False
    _tell_of(stranger, "the lock of the sweepers' leader")
    connection.execute(_MOVE_LEAD, {"old": stranger[0], "new": _new_key()})
    return True


def lead(connection: psycopg.Connection, seconds: float) -> bool:
    """Waits so long, in the server, to become the sweepers' leader; whether it did.

    Waiting costs no queries, and ends the moment the leader's connection does.
    """
    key = _lead_key(connection)
    limit = f"{seconds * 1000:.0f}ms"
    try:
        connection.execute(_LEAD, {"leader": LEADER, "key": key, "limit": limit})
    except psycopg.errors.LockNotAvailable:
        return False
    if _lead_key(connection) == key:
        return True
    connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LEADER, key))  # another one leads
    return False


def _lead_key(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT key FROM saga.lead").fetchone()
    return row[0] if row else 0
