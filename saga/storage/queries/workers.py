"""Worker processes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from saga.models import step
from saga.models import worker as w


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker. `steps`: leases it holds; `lease_left` in seconds, negative once it ran out."""

    id: int
    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    steps: int
    started_at: datetime
    seen_at: datetime
    lease_left: float
    ended_at: datetime | None
    ended_why: str | None


def has_worked(connection: Connection, pid: int, seconds: float) -> bool:
    """Whether the process of this number has taken up work within that time."""
    began = w.c.started_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    query = select(w.c.id).where(w.c.pid == pid, began).limit(1)
    return connection.execute(query).first() is not None


def workers(
    connection: Connection, *, ended: bool = False, limit: int = 200
) -> tuple[WorkerRow, ...]:
    """The live workers, and with `ended` also those that are gone, newest first."""
    held = (
        select(func.count()).select_from(step).where(step.c.worker_id == w.c.id).scalar_subquery()
    )
    left = func.extract("epoch", w.c.lease_until - func.now())
    query = (
        select(
            w.c.id,
            w.c.name,
            w.c.host,
            w.c.pid,
            w.c.queues,
            held,
            w.c.started_at,
            w.c.seen_at,
            left,
            w.c.ended_at,
            w.c.ended_why,
        )
        .order_by(w.c.id.desc())
        .limit(limit)
    )
    if not ended:
        query = query.where(w.c.ended_at.is_(None))
    return tuple(
        WorkerRow(*row[:4], tuple(row[4]), *row[5:8], float(row[8]), *row[9:])
        for row in connection.execute(query)
    )
