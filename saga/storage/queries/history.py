"""Everything that happened to one saga, and the attempts of its steps folded from it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, select

from saga.core.states import StepState
from saga.models import history as history_table
from saga.models import step
from saga.models import worker as worker_table
from saga.storage.queries.page import take


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of history. `position` None: the saga itself; `name` is then None too."""

    seq: int
    at: datetime
    position: int | None
    undo: bool
    name: str | None
    before: str | None
    after: str
    attempt: int | None
    worker: str | None
    actor: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a step. `outcome` None: it runs; `rejected`: its late result was not taken."""

    number: int
    worker: str | None
    started_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None
    rejected: str | None = None


def history(
    connection: Connection,
    saga_id: UUID,
    *,
    after: int = 0,
    limit: int | None = None,
    positions: Collection[int] | None = None,
) -> tuple[Transition, ...]:
    """The transitions of a saga (of its steps at these positions) beyond number `after`, in order;
    empty if there is no such saga.
    """
    query = following(saga_id, after).limit(limit)
    if positions is not None:
        query = query.where(history_table.c.position.in_(positions))
    return tuple(_transition(row) for row in connection.execute(query))


def last_of_saga(connection: Connection, saga_id: UUID) -> Transition | None:
    """The last transition of the saga itself."""
    c = history_table.c
    query = following(saga_id, 0).where(c.position.is_(None)).order_by(None)
    row = connection.execute(query.order_by(c.seq.desc()).limit(1)).first()
    return None if row is None else _transition(row)


def first_of_steps(connection: Connection, saga_id: UUID) -> dict[tuple[int, bool], int]:
    """The number of the first transition of each step (position, undo)."""
    c = history_table.c
    query = (
        select(c.position, c.undo, func.min(c.seq))
        .where(c.saga_id == saga_id, c.position.is_not(None))
        .group_by(c.position, c.undo)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def history_page(
    connection: Connection, saga_id: UUID, after: int, limit: int, size: int
) -> tuple[tuple[Transition, ...], bool]:
    """The same, so many or so many bytes, and whether there are more. `size`: see `take`."""
    rows, more = take(connection, following(saga_id, after), limit, size)
    return tuple(_transition(row) for row in rows), more


def _transition(row: Sequence[Any]) -> Transition:
    return Transition(row[0], row[1], row[2], bool(row[3]), *row[4:])


def following(saga_id: UUID, after: int) -> Select[*tuple[Any, ...]]:
    """All transitions beyond number `after`, in order."""
    h, w = history_table, worker_table
    name = (
        select(step.c.name)
        .where(
            step.c.saga_id == h.c.saga_id, step.c.position == h.c.position, step.c.undo == h.c.undo
        )
        .scalar_subquery()
    )
    return (
        select(
            h.c.seq,
            h.c.at,
            h.c.position,
            h.c.undo,
            name,
            h.c.before,
            h.c.after,
            h.c.attempt,
            w.c.name,
            h.c.actor,
            h.c.reason,
        )
        .select_from(h.outerjoin(w, w.c.id == h.c.worker_id))
        .where(h.c.saga_id == saga_id, h.c.seq > after)
        .order_by(h.c.seq)
    )


def attempts(transitions: Iterable[Transition]) -> dict[tuple[int, bool], tuple[Attempt, ...]]:
    """The attempts of each step (position, undo)."""
    found: dict[tuple[int, bool], dict[int, Attempt]] = {}
    for row in transitions:
        if row.position is None or row.attempt is None:
            continue
        of_step = found.setdefault((row.position, row.undo), {})
        known = of_step.get(row.attempt)
        if row.after == StepState.RUNNING:
            of_step[row.attempt] = Attempt(row.attempt, row.worker, row.at)
        elif known is not None and row.after == "rejected":
            of_step[row.attempt] = replace(known, rejected=row.reason)
        elif known is not None and known.outcome is None and row.before == StepState.RUNNING:
            of_step[row.attempt] = replace(
                known, ended_at=row.at, outcome=row.after, reason=row.reason
            )
    return {key: tuple(of_step.values()) for key, of_step in found.items()}
