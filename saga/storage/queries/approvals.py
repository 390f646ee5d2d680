"""What waits for a person to approve or reject."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, or_, select, text, tuple_

from saga.core.saga_filter import SagaFilter
from saga.core.states import SagaStatus, StepState, sql
from saga.models import saga, step
from saga.storage.queries.filtering import conditions
from saga.storage.queries.page import Cursor, Page, limited, take

# Literally as the index has it: a generic plan cannot prove it of parameters.
_IS_OPEN = text(f"step.kind = 'approval' AND step.state = {sql(StepState.WAITING)}")


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """Which approvals; all must hold. `name`: of the approval; `saga_name`: of its saga; `sagas`:
    what else holds for that.
    """

    name: str | None = None
    saga_id: UUID | None = None
    saga_name: str | None = None
    sagas: SagaFilter | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """An open approval. `details` never change: answer it by `saga_id` and `position`."""

    saga_id: UUID
    saga_name: str
    saga_status: SagaStatus
    position: int
    name: str
    details: Any
    asked_at: datetime
    deadline: datetime | None


def approvals(
    connection: Connection,
    wanted: ApprovalFilter | None = None,
    *,
    limit: int = 50,
    after: Cursor | None = None,
    size: int | None = None,
) -> Page[Approval]:
    """One page of what may be answered now, longest waiting first. Raises InvalidInput. `size`: see
    `take`.
    """
    query = waiting(wanted or ApprovalFilter(), after)
    found, more = take(connection, query, limited(limit), size)
    rows = [Approval(row[0], row[1], SagaStatus(row[2]), *row[3:]) for row in found]
    last = rows[-1] if more else None
    return Page(tuple(rows), Cursor(last.asked_at, last.saga_id, last.position) if last else None)


def waiting(wanted: ApprovalFilter, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order."""
    order = (step.c.asked_at, step.c.saga_id, step.c.position)
    query = (
        select(
            step.c.saga_id,
            saga.c.name,
            saga.c.status,
            step.c.position,
            step.c.name,
            step.c.args,
            step.c.asked_at,
            step.c.due_at,
        )
        .select_from(step.join(saga, saga.c.id == step.c.saga_id))
        .where(_IS_OPEN, or_(step.c.due_at.is_(None), step.c.due_at > func.now()))
        .order_by(*order)
    )
    for column, value in (
        (step.c.name, wanted.name),
        (step.c.saga_id, wanted.saga_id),
        (saga.c.name, wanted.saga_name),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.sagas is not None:
        query = query.where(*conditions(wanted.sagas))
    if after is not None:
        query = query.where(tuple_(*order) > (after.at, after.saga_id, after.position))
    return query
