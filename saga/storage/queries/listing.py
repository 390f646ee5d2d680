"""Sagas, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from saga.core.states import SETTLED, SagaStatus
from saga.errors import InvalidInput
from saga.models import saga, step
from saga.storage.queries.page import Cursor, Page, limited


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas; all must hold. `since`: started at or after, or so long ago at most."""

    name: str | None = None
    statuses: Sequence[str] = ()
    since: datetime | timedelta | None = None
    version: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For a WHERE on `saga`. Raises InvalidInput for a status that does not exist."""
        found: list[ColumnElement[bool]] = []
        if self.name is not None:
            found.append(saga.c.name == self.name)
        if self.key is not None:
            found.append(saga.c.key == self.key)
        if self.statuses:
            found.append(saga.c.status.in_([_status(s) for s in self.statuses]))
            if _COMMON.isdisjoint(self.statuses):
                found.append(saga.c.rare)
        if self.since is not None:
            found.append(saga.c.created_at >= moment(self.since))
        if self.version is not None:
            found.append(saga.c.version == self.version)
        if self.attributes:
            found.append(saga.c.attributes.contains(literal(dict(self.attributes), JSONB)))
        return found


@dataclass(frozen=True, slots=True)
class SagaRow:
    """A saga as a list shows it. `doing`: the steps that are not settled, as (name, state)."""

    id: UUID
    name: str
    version: int
    status: SagaStatus
    key: str | None
    attributes: Any
    note: str | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    doing: tuple[tuple[str, str], ...] = ()


_COMMON = {SagaStatus.RUNNING, SagaStatus.COMPLETED}  # not in the index of those that are `rare`

COLUMNS = (
    saga.c.id,
    saga.c.name,
    saga.c.version,
    saga.c.status,
    saga.c.key,
    saga.c.attributes,
    saga.c.note,
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
) -> Page[SagaRow]:
    """One page of sagas, newest first. Raises InvalidInput."""
    query = matching(wanted or SagaFilter(), after).limit(limited(limit) + 1)
    rows = [_row(row) for row in connection.execute(query)]
    more = len(rows) > limit
    rows = rows[:limit]
    doing = _doing(connection, [row.id for row in rows if row.ended_at is None])
    return Page(
        tuple(replace(row, doing=doing.get(row.id, ())) for row in rows),
        Cursor(rows[-1].created_at, rows[-1].id) if more else None,
    )


def matching(wanted: SagaFilter, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order."""
    order = (saga.c.created_at.desc(), saga.c.id.desc())
    query = select(*COLUMNS).where(*wanted.conditions()).order_by(*order)
    if after is not None:
        query = query.where(tuple_(saga.c.created_at, saga.c.id) < (after.at, after.saga_id))
    return query


def moment(since: datetime | timedelta) -> ColumnElement[datetime]:
    """A point in time by the database's clock."""
    if isinstance(since, timedelta):
        return func.now() - literal(since)
    if since.tzinfo is None:
        raise InvalidInput("since: a time with its zone")
    return literal(since)


def _row(row: Any) -> SagaRow:
    return SagaRow(row[0], row[1], row[2], SagaStatus(row[3]), *row[4:])


def _doing(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[tuple[str, str], ...]]:
    if not ids:
        return {}
    query = (
        select(step.c.saga_id, step.c.name, step.c.state)
        .where(step.c.saga_id.in_(ids), step.c.state.not_in([str(state) for state in SETTLED]))
        .order_by(step.c.saga_id, step.c.position, step.c.undo)
    )
    found: dict[UUID, tuple[tuple[str, str], ...]] = {}
    for saga_id, name, state in connection.execute(query):
        found[saga_id] = (*found.get(saga_id, ()), (name, state))
    return found


def _status(text: str) -> str:
    try:
        return SagaStatus(text).value
    except ValueError:
        known = ", ".join(SagaStatus)
        raise InvalidInput(f"status: one of {known}, not {text!r}") from None
