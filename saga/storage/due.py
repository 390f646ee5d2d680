"""What is due: retries, timers, deadlines, lost wake-ups. One index each for steps and sagas."""

from collections.abc import Sequence
from typing import LiteralString, NamedTuple
from uuid import UUID

import psycopg

from saga.core.rows import StepKey
from saga.core.states import CLAIMABLE, SagaStatus, StepState, sql
from saga.storage.horizon import HORIZON, LONGEST
from saga.storage.hot.rows import Move
from saga.storage.hot.store import Moved, Store


class DueStep(NamedTuple):
    """A step whose time has come, whatever its state. `wakes` as for a saga."""

    saga_id: UUID
    position: int
    undo: bool
    kind: str
    name: str
    queue: str | None
    state: str
    attempt: int
    saga_queue: str
    wakes: int = 0

    @property
    def key(self) -> StepKey:
        return StepKey(self.saga_id, self.position, self.undo)


class DueSaga(NamedTuple):
    """A saga whose time has come. `wakes`: how often it has been looked at in vain; below zero:
    nobody has sent the wake-up for its news yet.
    """

    id: UUID
    queue: str
    wakes: int


class Outlook(NamedTuple):
    """Seconds until the next step, saga and callback are due; None: nothing is planned. `is_leased`:
    whether any worker holds a step.
    """

    step: float | None = None
    saga: float | None = None
    callback: float | None = None
    is_leased: bool = False


_STEPS = """
SELECT t.saga_id, t.position, t.undo, t.kind, t.name, t.queue, t.state, t.attempt, s.queue,
       t.wakes
  FROM saga.step t JOIN saga.saga s ON s.id = t.saga_id
 WHERE t.due_at <= now() ORDER BY t.due_at LIMIT %(most)s
"""
_SAGAS = """
SELECT id, queue, wakes FROM saga.saga WHERE due_at <= now() ORDER BY due_at LIMIT %(most)s
"""
# What a statement reads besides the rows that it waits for is as old as its beginning.
_HOLD = "SELECT FROM saga.saga WHERE id = ANY(%(id)s::uuid[]) ORDER BY id FOR UPDATE"
_OVERTAKEN = """
SELECT t.saga_id, t.position
  FROM unnest(%(id)s::uuid[], %(position)s::int[]) AS a(id, position)
  JOIN saga.step t ON t.saga_id = a.id AND t.position = a.position AND NOT t.undo
 WHERE EXISTS (SELECT FROM saga.signal g
                WHERE g.saga_id = t.saga_id AND g.event > t.after AND g.name = t.name
                  AND g.consumed_by IS NULL)
    OR t.deadline < t.asked_at + interval '1 second'
"""
_OUTLOOK = """
SELECT extract(epoch FROM (SELECT min(due_at) FROM saga.step WHERE due_at IS NOT NULL) - now())::float8,
       extract(epoch FROM (SELECT min(due_at) FROM saga.saga WHERE due_at IS NOT NULL) - now())::float8,
       extract(epoch FROM (SELECT min(due_at) FROM saga.delivery WHERE due_at IS NOT NULL) - now())::float8,
       EXISTS (SELECT FROM saga.step WHERE worker_id IS NOT NULL)
"""
# The transaction of a note is written like any other; it need not be waited for.
_RING = "SELECT pg_notify('saga_due', ''), set_config('synchronous_commit', 'off', true)"
# Each time in vain doubles the patience.
_POSTPONE_STEPS: LiteralString = f"""
UPDATE saga.step t
   SET wakes = t.wakes + 1, due_at = now() + make_interval(secs => least({LONGEST}, 2 * 2 ^ greatest(0, least(t.wakes, 10))))
  FROM (SELECT w.saga_id, w.position, w.undo
          FROM unnest(%(id)s::uuid[], %(position)s::int[], %(undo)s::bool[]) AS a(id, position, undo)
          JOIN saga.step w ON w.saga_id = a.id AND w.position = a.position AND w.undo = a.undo
         WHERE w.state IN {sql((*CLAIMABLE, StepState.WAITING))} AND w.due_at <= now()
           FOR UPDATE OF w SKIP LOCKED) k
 WHERE t.saga_id = k.saga_id AND t.position = k.position AND t.undo = k.undo
"""
_POSTPONE_SAGAS: LiteralString = f"""
UPDATE saga.saga
   SET wakes = wakes + 1, due_at = now() + make_interval(secs => least({LONGEST}, 2 * 2 ^ greatest(0, least(wakes, 10))))
 WHERE id IN (SELECT id FROM saga.saga WHERE id = ANY(%(id)s::uuid[]) AND due_at <= now()
              ORDER BY id FOR UPDATE SKIP LOCKED)
"""
# Below zero: not sent yet, whatever the number of messages that wait in the broker by then. What a worker calls
# unknown keeps its pause. Oldest first: their messages were the first to be taken.
_EXPEDITE_STEPS: LiteralString = f"""
UPDATE saga.step t SET due_at = now(), wakes = -1
  FROM (SELECT saga_id, position, undo FROM saga.step
         WHERE due_at > now() AND due_at < now() + {HORIZON} AND state IN {sql(CLAIMABLE)} AND wakes >= 0
           AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s))
         ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) k
 WHERE t.saga_id = k.saga_id AND t.position = k.position AND t.undo = k.undo
"""
_EXPEDITE_SAGAS: LiteralString = f"""
UPDATE saga.saga SET due_at = now(), wakes = -1
 WHERE id IN (SELECT id FROM saga.saga
               WHERE due_at > now() AND due_at < now() + {HORIZON} AND status <> {sql(SagaStatus.PARKED)} AND wakes >= 0
                 AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s))
               ORDER BY created_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
"""


def steps(connection: psycopg.Connection, most: int) -> list[DueStep]:
    """The steps that are due, longest first."""
    return [DueStep(*row) for row in connection.execute(_STEPS, {"most": most})]


def sagas(connection: psycopg.Connection, most: int) -> list[DueSaga]:
    """The sagas that are due, longest first."""
    return [DueSaga(*row) for row in connection.execute(_SAGAS, {"most": most})]


def expire(store: Store, waits: Sequence[Move]) -> Moved:
    """Ends waits for signals whose time is up. Not those for which a signal was accepted before:
    the saga's code takes that, or its next wait of the name does. And not those that had next to no
    time, by which code empties its mailbox: the landing that ends them sees all that was accepted.
    """
    ids = [wait.key.saga_id for wait in waits]
    positions = [wait.key.position for wait in waits]
    with store.connection.transaction():
        store.connection.execute(_HOLD, {"id": ids})
        rows = store.connection.execute(_OVERTAKEN, {"id": ids, "position": positions}).fetchall()
        overtaken = {StepKey(saga_id, position, undo=False) for saga_id, position in rows}
        rest = [wait for wait in waits if wait.key not in overtaken]
        return store.record(rest) if rest else {}


def outlook(connection: psycopg.Connection) -> Outlook:
    """When something is due next."""
    row = connection.execute(_OUTLOOK).fetchone()
    return Outlook(*row) if row else Outlook()


def ring(connection: psycopg.Connection) -> None:
    """Has the sweepers' leader look now."""
    connection.execute(_RING)


def postpone_steps(connection: psycopg.Connection, keys: list[StepKey]) -> None:
    """Their wake-ups are on the way (again): looks at them later."""
    columns: tuple[list[object], ...] = tuple(map(list, zip(*keys, strict=True)))
    connection.execute(_POSTPONE_STEPS, dict(zip(("id", "position", "undo"), columns, strict=True)))


def postpone_sagas(connection: psycopg.Connection, ids: list[UUID]) -> None:
    """The same for sagas."""
    connection.execute(_POSTPONE_SAGAS, {"id": ids})


def expedite(
    connection: psycopg.Connection, queues: Sequence[str] | None = None, most: int | None = None
) -> None:
    """Wake-ups were lost: what waits for one, of these queues or of all, is due at once. Up to so
    many steps and sagas each.
    """
    parameters = {"queues": None if queues is None else list(queues), "most": most}
    connection.execute(_EXPEDITE_STEPS, parameters)
    connection.execute(_EXPEDITE_SAGAS, parameters)
