"""The work there is now for the workers of some queues: what an autoscaler asks each second."""

from collections.abc import Sequence
from typing import LiteralString, NamedTuple

import psycopg

from saga.core.rows import StepKey
from saga.core.states import CLAIMABLE, DECIDABLE, StepState, sql
from saga.storage.horizon import HORIZON

# What waits for a worker is due within the horizon: a range of a partial index. Stops at `most`.
_DEMAND: LiteralString = f"""
SELECT (SELECT count(*) FROM (
          SELECT FROM saga.step
           WHERE due_at <= now() + {HORIZON} AND kind = 'step'
             AND state IN {sql(CLAIMABLE)} AND queue = ANY(%(queues)s)
           LIMIT %(most)s) t),
       (SELECT count(*) FROM (
          SELECT FROM saga.saga
           WHERE due_at <= now() + {HORIZON}
             AND status IN {sql(DECIDABLE)} AND queue = ANY(%(queues)s)
           LIMIT %(most)s) s),
       (SELECT count(*) FROM saga.worker WHERE ended_at IS NULL AND queues && %(queues)s::text[])
"""


class Demand(NamedTuple):
    """`steps` and `decisions` that wait for a worker, each counted up to a limit; `workers`: live
    processes that serve any of the queues.
    """

    steps: int
    decisions: int
    workers: int


_WAITING: LiteralString = f"""
(SELECT saga_id, position, undo, name FROM saga.step
  WHERE due_at <= now() + {HORIZON} AND kind = 'step'
    AND (state = {sql(StepState.READY)} OR state = {sql(StepState.UNKNOWN)} AND due_at <= now())
    AND queue = ANY(%(queues)s) AND name = ANY(%(steps)s)
  ORDER BY due_at LIMIT %(most)s)
UNION ALL
(SELECT id, 0, false, NULL FROM saga.saga
  WHERE due_at <= now() + {HORIZON} AND status IN {sql(DECIDABLE)}
    AND queue = ANY(%(queues)s)
    AND (name, version) IN (SELECT * FROM unnest(%(sagas)s::text[], %(versions)s::int[]))
  ORDER BY due_at LIMIT %(most)s)
"""


class Waiting(NamedTuple):
    """What a worker could do now. `step`: the name of the step or undo; None: a decision of the
    saga.
    """

    key: StepKey
    step: str | None


def waiting(
    connection: psycopg.Connection,
    queues: Sequence[str],
    steps: Sequence[str],
    sagas: Sequence[tuple[str, int]],
    most: int,
) -> list[Waiting]:
    """What waits for a worker of these queues, steps and sagas (name, version), whether or not it
    was sent a wake-up: up to so many of each, the oldest first.
    """
    parameters = {
        "queues": list(queues),
        "steps": list(steps),
        "sagas": [name for name, _ in sagas],
        "versions": [version for _, version in sagas],
        "most": most,
    }
    rows = connection.execute(_WAITING, parameters)
    return [
        Waiting(StepKey(saga_id, position, undo), name) for saga_id, position, undo, name in rows
    ]


def demand(connection: psycopg.Connection, queues: Sequence[str], most: int) -> Demand:
    """What may run now: no timers, no retries before their time, nothing for a person."""
    row = connection.execute(_DEMAND, {"queues": list(queues), "most": most}).fetchone()
    assert row is not None
    return Demand(*row)
