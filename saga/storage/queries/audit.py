"""What people and services did, newest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from saga.models import audit as audit_table
from saga.storage.queries.filtering import moment
from saga.storage.queries.page import limited, take


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An action. `refused`: why nothing was changed; None if it was done."""

    id: int
    at: datetime
    actor: str
    action: str
    saga_id: UUID | None
    position: int | None
    reason: str | None
    refused: str | None
    details: Any


def audit(
    connection: Connection,
    *,
    saga_id: UUID | None = None,
    actor: str | None = None,
    action: str | None = None,
    refused: bool | None = None,
    since: datetime | timedelta | None = None,
    limit: int = 50,
    before: int | None = None,
    size: int | None = None,
) -> tuple[tuple[AuditRow, ...], int | None]:
    """Actions (of an actor, on a saga, of that name) whose ids are below `before`, and what older
    ones are before. `size`: see `take`.
    """
    c = audit_table.c
    query = select(
        c.id, c.at, c.actor, c.action, c.saga_id, c.position, c.reason, c.refused, c.details
    )
    if saga_id is not None:
        query = query.where(c.saga_id == saga_id)
    if actor is not None:
        query = query.where(c.actor == actor)
    if action is not None:
        query = query.where(c.action == action)
    if refused is not None:
        query = query.where(c.refused.is_not(None) if refused else c.refused.is_(None))
    if since is not None:
        query = query.where(c.at >= moment(since))
    if before is not None:
        query = query.where(c.id < before)
    rows, more = take(connection, query.order_by(c.id.desc()), limited(limit), size)
    return tuple(AuditRow(*row) for row in rows), rows[-1].id if more else None
