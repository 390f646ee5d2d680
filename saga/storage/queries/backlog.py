"""What waits for a worker, by queue."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Select,
    func,
    literal_column,
    select,
    union_all,
)

from saga.core.states import CLAIMABLE, DECIDABLE
from saga.models import saga, step
from saga.models import worker as worker_table
from saga.storage.horizon import HORIZON

# All that waits for a worker is due before this: the backlog is one range of a partial index.
_HORIZON: ColumnElement[Any] = literal_column(HORIZON)

_Rows: TypeAlias = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Backlog:
    """A queue.

    `ready`: steps and decisions that wait for a worker; `oldest`: the longest wait in seconds;
    `running`: leases held; `workers`: live processes that serve the queue. With work ready and no
    workers nothing there will ever move.
    """

    queue: str
    ready: int
    oldest: float | None
    running: int
    workers: int


def backlog(connection: Connection) -> tuple[Backlog, ...]:
    """All queues with work or workers, by name."""
    ready = {row[0]: row for row in connection.execute(ready_work())}
    running = {row[0]: row[1] for row in connection.execute(_running())}
    serving = {row[0]: row[1] for row in connection.execute(_serving())}
    names = sorted({*ready, *running, *serving})
    return tuple(
        Backlog(
            name,
            ready[name][1] if name in ready else 0,
            ready[name][2] if name in ready else None,
            running.get(name, 0),
            serving.get(name, 0),
        )
        for name in names
    )


def ready_work() -> _Rows:
    """Number and longest wait of what is ready, by queue."""
    steps = select(
        step.c.queue, func.greatest(step.c.asked_at, step.c.started_at).label("since")
    ).where(
        step.c.due_at <= func.now() + _HORIZON,
        step.c.kind == "step",
        step.c.state.in_(CLAIMABLE),
    )
    decisions = select(saga.c.queue, saga.c.updated_at.label("since")).where(
        saga.c.due_at <= func.now() + _HORIZON,
        saga.c.status.in_(DECIDABLE),
    )
    both = union_all(steps, decisions).subquery()
    age = func.extract("epoch", func.now() - func.min(both.c.since)).cast(Float)
    return select(both.c.queue, func.count(), age).group_by(both.c.queue)


def _running() -> _Rows:
    return (
        select(step.c.queue, func.count())
        .where(step.c.worker_id.is_not(None))
        .group_by(step.c.queue)
    )


def _serving() -> _Rows:
    queue = func.unnest(worker_table.c.queues).label("queue")
    served = select(queue).where(worker_table.c.ended_at.is_(None)).subquery()
    return select(served.c.queue, func.count()).group_by(served.c.queue)
