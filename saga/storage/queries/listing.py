"""Sagas, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, select, tuple_

from saga.core.saga_filter import SagaFilter
from saga.core.states import SagaStatus
from saga.models import saga, step
from saga.storage.queries.filtering import IS_OPEN, conditions
from saga.storage.queries.page import Cursor, Page, limited, take


@dataclass(frozen=True, slots=True)
class SagaRow:
    """A saga as a list shows it. `error`: why it did not complete, or is not going to; `doing`: the
    steps that are not settled, as (name, state).
    """

    id: UUID
    name: str
    version: int
    status: SagaStatus
    key: str | None
    attributes: Any
    note: str | None
    error: Any
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    doing: tuple[tuple[str, str], ...] = ()


COLUMNS = (
    saga.c.id,
    saga.c.name,
    saga.c.version,
    saga.c.status,
    saga.c.key,
    saga.c.attributes,
    saga.c.note,
    saga.c.error,
    saga.c.created_at,
    saga.c.updated_at,
    saga.c.ended_at,
)


def list_sagas(
    connection: Connection,
    wanted: SagaFilter | None = None,
    *,
    limit: int = 50,
    after: Cursor | None = None,
    size: int | None = None,
) -> Page[SagaRow]:
    """One page of sagas, newest first. Raises InvalidInput. `size`: see `take`."""
    query = matching(wanted or SagaFilter(), after)
    found, more = take(connection, query, limited(limit), size)
    rows = [_row(row) for row in found]
    doing = _doing(connection, [row.id for row in rows if row.ended_at is None])
    return Page(
        tuple(replace(row, doing=doing.get(row.id, ())) for row in rows),
        Cursor(rows[-1].created_at, rows[-1].id) if more else None,
    )


def matching(wanted: SagaFilter, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order."""
    order = (saga.c.created_at.desc(), saga.c.id.desc())
    query = select(*COLUMNS).where(*conditions(wanted)).order_by(*order)
    if after is not None:
        query = query.where(tuple_(saga.c.created_at, saga.c.id) < (after.at, after.saga_id))
    return query


def _row(row: Any) -> SagaRow:
    return SagaRow(row[0], row[1], row[2], SagaStatus(row[3]), *row[4:])


def _doing(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[tuple[str, str], ...]]:
    if not ids:
        return {}
    query = (
        select(step.c.saga_id, step.c.name, step.c.state)
        .where(step.c.saga_id.in_(ids), IS_OPEN)
        .order_by(step.c.saga_id, step.c.position, step.c.undo)
    )
    found: dict[UUID, tuple[tuple[str, str], ...]] = {}
    for saga_id, name, state in connection.execute(query):
        found[saga_id] = (*found.get(saga_id, ()), (name, state))
    return found
