"""The work there is now for the workers of some queues: what an autoscaler asks each second."""

from collections.abc import Sequence
from typing import LiteralString, NamedTuple

import psycopg

from saga.core.states import CLAIMABLE, DECIDABLE, sql
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


def demand(connection: psycopg.Connection, queues: Sequence[str], most: int) -> Demand:
    """What may run now: no timers, no retries before their time, nothing for a person."""
    row = connection.execute(_DEMAND, {"queues": list(queues), "most": most}).fetchone()
    assert row is not None
    return Demand(*row)
