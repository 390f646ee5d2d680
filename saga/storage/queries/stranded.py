"""What waits for a worker and was refused by one: its code was renamed, or is not there."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, literal_column, select

from saga.core.states import CLAIMABLE, SagaStatus
from saga.models import saga, step
from saga.storage.horizon import HORIZON


@dataclass(frozen=True, slots=True)
class StrandedItem:
    """A step or an undo that goes on when a worker on `queue` knows it; `note`: who did not."""

    saga_id: UUID
    saga_name: str
    saga_status: SagaStatus
    position: int
    undo: bool
    step: str
    queue: str | None
    note: str
    since: datetime


def stranded(
    connection: Connection, saga_id: UUID | None = None, *, limit: int = 50
) -> tuple[StrandedItem, ...]:
    """At most so many of them (of one saga), longest waiting first."""
    since = func.greatest(step.c.asked_at, step.c.started_at)
    query = (
        select(
            step.c.saga_id,
            saga.c.name,
            saga.c.status,
            step.c.position,
            step.c.undo,
            step.c.name,
            step.c.queue,
            step.c.note,
            since,
        )
        .select_from(step.join(saga, saga.c.id == step.c.saga_id))
        .where(
            step.c.due_at <= func.now() + literal_column(HORIZON),
            step.c.state.in_(CLAIMABLE),
            step.c.note.is_not(None),
        )
        .order_by(since, step.c.saga_id, step.c.position, step.c.undo)
        .limit(limit)
    )
    if saga_id is not None:
        query = query.where(step.c.saga_id == saga_id)
    return tuple(
        StrandedItem(row[0], row[1], SagaStatus(row[2]), *row[3:])
        for row in connection.execute(query)
    )
