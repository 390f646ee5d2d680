"""How many sagas stand where, and which wait for a person's approval."""

from uuid import UUID

from sqlalchemy import Connection, func, select

from saga.core.states import StepState
from saga.models import saga, step


def counts(connection: Connection) -> dict[str, int]:
    """The number of sagas by status; a status that none has is missing."""
    query = select(saga.c.status, func.count()).group_by(saga.c.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def open_approvals(connection: Connection, name: str, limit: int = 1000) -> list[UUID]:
    """The sagas that wait for the approval of that name, longest waiting first."""
    query = (
        select(step.c.saga_id)
        .where(
            step.c.kind == "approval",
            step.c.state == StepState.WAITING,
            step.c.name == name,
        )
        .order_by(step.c.asked_at)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())
