"""What the code of a saga and of its children has raised, attempt by attempt."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from saga.models import history, saga, step

MOST = 50
"""Tracebacks of one saga that are read: the latest."""


@dataclass(frozen=True, slots=True)
class TracebackRow:
    """One traceback. `position` None: of the saga's own code; `name` is the saga's then."""

    saga_id: UUID
    at: datetime
    position: int | None
    undo: bool
    name: str
    attempt: int | None
    outcome: str
    text: str


def tracebacks(
    connection: Connection, saga_id: UUID, limit: int = MOST
) -> tuple[TracebackRow, ...]:
    """The latest of a saga and all below it, oldest first: causes stand before what they led to."""
    tree = select(saga.c.id, saga.c.name).where(saga.c.id == saga_id).cte("tree", recursive=True)
    child = saga.alias()
    tree = tree.union_all(select(child.c.id, child.c.name).where(child.c.parent_id == tree.c.id))
    h = history
    of_step = (
        select(step.c.name)
        .where(
            step.c.saga_id == h.c.saga_id, step.c.position == h.c.position, step.c.undo == h.c.undo
        )
        .scalar_subquery()
    )
    query = (
        select(
            h.c.saga_id,
            h.c.at,
            h.c.position,
            h.c.undo,
            of_step,
            tree.c.name,
            h.c.attempt,
            h.c.after,
            h.c.traceback,
        )
        .join(tree, tree.c.id == h.c.saga_id)
        .where(h.c.traceback.is_not(None))
        .order_by(h.c.at.desc(), h.c.seq.desc())
        .limit(limit)
    )
    rows = [
        TracebackRow(row[0], row[1], row[2], bool(row[3]), row[4] or row[5], *row[6:])
        for row in connection.execute(query)
    ]
    return tuple(reversed(rows))
