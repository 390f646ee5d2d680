"""Callbacks, made and to be made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, literal_column, select, tuple_

from saga.errors import InvalidInput
from saga.models import delivery, saga
from saga.models.delivery import DELIVERY_STATES
from saga.storage.queries.page import Cursor, Page, limited, take

UNDELIVERED = tuple(state for state in DELIVERY_STATES if state != "delivered")


@dataclass(frozen=True, slots=True)
class CallbackFilter:
    """Which callbacks; all must hold. `states` empty: any."""

    saga_id: UUID | None = None
    states: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CallbackRow:
    """A callback. `status`: how the saga ended; `response`: HTTP status of the last attempt;
    `error`: why that failed; `due_at`: the next one. `attempts`: since it was last asked for.
    """

    id: UUID
    saga_id: UUID
    saga_name: str
    seq: int
    status: str
    url: str
    state: str
    attempts: int
    due_at: datetime | None
    response: int | None
    error: str | None
    created_at: datetime
    settled_at: datetime | None


def callbacks(
    connection: Connection,
    wanted: CallbackFilter | None = None,
    *,
    limit: int = 50,
    after: Cursor | None = None,
    size: int | None = None,
) -> Page[CallbackRow]:
    """One page: of one saga in order, of all newest first. Raises InvalidInput. `size`: see
    `take`.
    """
    query = matching(wanted or CallbackFilter(), after)
    found, more = take(connection, query, limited(limit), size)
    rows = [CallbackRow(*row) for row in found]
    last = rows[-1] if more else None
    return Page(tuple(rows), Cursor(last.created_at, last.id, last.seq) if last else None)


def matching(wanted: CallbackFilter, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order."""
    c = delivery.c
    query = select(
        c.id,
        c.saga_id,
        saga.c.name,
        c.seq,
        c.status,
        c.url,
        c.state,
        c.attempt - c.forgiven,
        c.due_at,
        c.response,
        c.error,
        c.created_at,
        c.settled_at,
    ).select_from(delivery.join(saga, saga.c.id == c.saga_id))
    if wanted.states:
        strange = [state for state in wanted.states if state not in DELIVERY_STATES]
        if strange:
            known = ", ".join(DELIVERY_STATES)
            raise InvalidInput(f"state: one of {known}, not {strange[0]!r}")
        query = query.where(c.state.in_(wanted.states))
        if "delivered" not in wanted.states:  # as the index of those few has it
            query = query.where(literal_column("delivery.state") != literal_column("'delivered'"))
    if wanted.saga_id is not None:
        query = query.where(c.saga_id == wanted.saga_id).order_by(c.seq)
        return query if after is None else query.where(c.seq > after.position)
    query = query.order_by(c.created_at.desc(), c.id.desc())
    if after is not None:
        query = query.where(tuple_(c.created_at, c.id) < (after.at, after.saga_id))
    return query
