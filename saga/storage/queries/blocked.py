"""Work items: what waits for a person to decide."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, select, text, true, tuple_

from saga.core.saga_filter import SagaFilter
from saga.core.states import SagaStatus, StepState, sql
from saga.models import history, saga, step
from saga.storage.queries.filtering import conditions, step_conditions
from saga.storage.queries.page import Cursor, Page, limited, take

# Literally as the index has it: a generic plan cannot prove it of parameters.
_IS_BLOCKED = text(f"step.state = {sql(StepState.BLOCKED)}")


@dataclass(frozen=True, slots=True)
class BlockedItem:
    """A step or an undo that a person must retry, skip or mark as done; `reason`: why."""

    saga_id: UUID
    saga_name: str
    saga_status: SagaStatus
    position: int
    undo: bool
    step: str
    queue: str | None
    attempts: int
    in_doubt: bool
    args: Any
    error: Any
    reason: str | None
    since: datetime | None


def blocked(
    connection: Connection,
    saga_id: UUID | None = None,
    wanted: SagaFilter | None = None,
    *,
    limit: int = 50,
    after: Cursor | None = None,
    size: int | None = None,
) -> Page[BlockedItem]:
    """One page of the work items (of one saga), longest waiting first. What the filter says of a
    step and of an error must hold for the work item itself. Raises InvalidInput. `size`: see
    `take`.
    """
    rows, more = take(connection, matching(saga_id, after, wanted), limited(limit), size)
    last = rows[-1] if more else None
    items = [BlockedItem(row[0], row[1], SagaStatus(row[2]), *row[3:-1]) for row in rows]
    return Page(
        tuple(items),
        Cursor(last.order, last.saga_id, 2 * last.position + last.undo) if last else None,
    )


def matching(
    saga_id: UUID | None, after: Cursor | None, wanted: SagaFilter | None = None
) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order."""
    last = (
        select(history.c.at, history.c.reason)
        .where(
            history.c.saga_id == step.c.saga_id,
            history.c.position == step.c.position,
            history.c.undo == step.c.undo,
            history.c.after == StepState.BLOCKED,
        )
        .order_by(history.c.seq.desc())
        .limit(1)
        .lateral("last")
    )
    since = func.coalesce(last.c.at, step.c.asked_at)
    order = (since, step.c.saga_id, step.c.position, step.c.undo)
    query = (
        select(
            step.c.saga_id,
            saga.c.name,
            saga.c.status,
            step.c.position,
            step.c.undo,
            step.c.name,
            step.c.queue,
            step.c.attempt,
            step.c.in_doubt,
            step.c.args,
            step.c.error,
            last.c.reason,
            last.c.at,
            since.label("order"),
        )
        .select_from(step.join(saga, saga.c.id == step.c.saga_id).outerjoin(last, true()))
        .where(_IS_BLOCKED)
        .order_by(*order)
    )
    if saga_id is not None:
        query = query.where(step.c.saga_id == saga_id)
    if wanted is not None:
        of_saga = replace(wanted, step=None, error=None, waits_for=None)
        query = query.where(*conditions(of_saga), *step_conditions(wanted))
    if after is not None:
        position, undo = divmod(after.position, 2)
        query = query.where(tuple_(*order) > (after.at, after.saga_id, position, bool(undo)))
    return query
