"""One saga with everything that `show` needs, as of one moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, RowMapping, Select, any_, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from saga.core.states import SagaStatus, StepState
from saga.errors import SagaNotFound
from saga.models import saga, signal, step
from saga.models import worker as worker_table
from saga.storage.queries.history import (
    Attempt,
    Transition,
    attempts,
    first_of_steps,
    history,
    last_of_saga,
)
from saga.storage.queries.page import UNREAD, Cursor, size_of, take
from saga.storage.turning.take_back import TAKEN_BACK

_MOST = 200  # steps, or signals, of a page
_STEPS_SEEN = -1  # place in a saga; less by the number of the last signal that was seen


@dataclass(frozen=True, slots=True)
class ChildRow:
    """A saga that this one started, or was started by."""

    id: UUID
    name: str
    status: SagaStatus


@dataclass(frozen=True, slots=True)
class StepDetail:
    """A step (or a compensation). `worker`: who holds the lease now."""

    position: int
    undo: bool
    kind: str
    name: str
    queue: str | None
    state: StepState
    attempt: int
    worker: str | None
    args: Any
    result: Any
    error: Any
    compensation: str | None
    pivot: bool
    read_only: bool
    in_doubt: bool
    due_at: datetime | None
    deadline: datetime | None
    wakes: int
    note: str | None
    asked_at: datetime
    started_at: datetime | None
    settled_at: datetime | None
    attempts: tuple[Attempt, ...]
    last: Transition | None
    child: ChildRow | None

    @property
    def has_ended(self) -> bool:
        return self.settled_at is not None


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal as it was accepted. `consumed_by`: the position that waited for it; `unread`: the
    saga's code has ended without it.
    """

    event: int
    name: str
    payload: Any
    dedup_id: str | None
    sender: str | None
    received_at: datetime
    consumed_by: int | None
    unread: bool


@dataclass(frozen=True, slots=True)
class SagaDetail:
    """A saga. `steps` in the order in which they were asked for, undos in their place."""

    id: UUID
    name: str
    version: int
    queue: str
    key: str | None
    input: Any
    status: SagaStatus
    result: Any
    error: Any
    exposed: Any
    attributes: Any
    undo_cause: str | None
    due_at: datetime | None
    wakes: int
    note: str | None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    now: datetime
    parent: ChildRow | None
    steps: tuple[StepDetail, ...]
    signals: tuple[SignalRow, ...]
    last: Transition | None
    next: str | None = None
    """Of a page: where the steps and signals that follow begin."""

    @property
    def undos(self) -> tuple[StepDetail, ...]:
        """The compensations."""
        return tuple(row for row in self.steps if row.undo)

    @property
    def forward(self) -> tuple[StepDetail, ...]:
        """All that are no compensations."""
        return tuple(row for row in self.steps if not row.undo)


def detail(connection: Connection, saga_id: UUID) -> SagaDetail:
    """Everything about one saga. Raises SagaNotFound."""
    row = _saga(connection, saga_id)
    transitions = history(connection, saga_id)
    own = [t for t in transitions if t.position is None]
    rows = connection.execute(_steps_of(saga_id)).mappings()
    return _detail(
        connection,
        row,
        steps=_steps(connection, saga_id, transitions, rows),
        signals=_signals(connection.execute(_signals_of(saga_id)), row["status"]),
        last=own[-1] if own else None,
    )


def detail_page(
    connection: Connection, saga_id: UUID, after: Cursor | None, size: int
) -> SagaDetail:
    """One saga with as many of its steps, and then of its signals, as fit into so many bytes; what
    it has itself comes on top. JSON is `Unread`. Raises SagaNotFound.
    """
    row = _saga(connection, saga_id, unread=True)
    place = after.position if after else 0  # below zero: all steps were seen
    steps: tuple[StepDetail, ...] = ()
    signals: tuple[SignalRow, ...] = ()
    more = True
    if place >= 0:
        order = _order(connection, saga_id)
        wanted = order[place : place + _MOST]
        found, _ = take(connection, _steps_in(saga_id, wanted), _MOST, size)
        transitions = history(connection, saga_id, positions={r.position for r in found})
        steps = _steps(connection, saga_id, transitions, [r._mapping for r in found])
        size -= sum(map(size_of, found))
        place = place + len(found) if place + len(found) < len(order) else _STEPS_SEEN
    if place < 0 < size:
        query = _signals_of(saga_id).where(signal.c.event > _STEPS_SEEN - place)
        found, more = take(connection, query, _MOST, size)
        signals = _signals(found, row["status"])
        place = _STEPS_SEEN - signals[-1].event if signals else place
    last = last_of_saga(connection, saga_id)
    page = _detail(connection, row, steps=steps, signals=signals, last=last)
    return replace(page, next=str(Cursor(row["created_at"], saga_id, place)) if more else None)


def _saga(connection: Connection, saga_id: UUID, *, unread: bool = False) -> RowMapping:
    query = select(saga, func.now().label("now")).where(saga.c.id == saga_id)
    row = connection.execute(query, execution_options={UNREAD: unread}).mappings().first()
    if row is None:
        raise SagaNotFound(f"there is no saga {saga_id}")
    return row


def _detail(
    connection: Connection,
    row: RowMapping,
    steps: tuple[StepDetail, ...],
    signals: tuple[SignalRow, ...],
    last: Transition | None,
) -> SagaDetail:
    return SagaDetail(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        queue=row["queue"],
        key=row["key"],
        input=row["input"],
        status=SagaStatus(row["status"]),
        result=row["result"],
        error=row["error"],
        exposed=row["exposed"],
        attributes=row["attributes"],
        undo_cause=row["undo_cause"],
        due_at=row["due_at"],
        wakes=row["wakes"],
        note=row["note"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        ended_at=row["ended_at"],
        now=row["now"],
        parent=_parent(connection, row["parent_id"]),
        steps=steps,
        signals=signals,
        last=last,
    )


def _steps_of(saga_id: UUID) -> Select[*tuple[Any, ...]]:
    w = worker_table
    return (
        select(step, w.c.name.label("worker"))
        .select_from(step.outerjoin(w, w.c.id == step.c.worker_id))
        .where(step.c.saga_id == saga_id)
    )


def _order(connection: Connection, saga_id: UUID) -> list[int]:
    """All steps (twice their position, and one more for the undo) as they were asked for."""
    first = first_of_steps(connection, saga_id)
    query = select(step.c.position, step.c.undo).where(step.c.saga_id == saga_id)
    keys = [(row[0], row[1]) for row in connection.execute(query)]
    never = max(first.values(), default=0) + 1
    keys.sort(key=lambda key: (first.get(key, never), key[1], key[0]))
    return [2 * position + undo for position, undo in keys]


def _steps_in(saga_id: UUID, order: list[int]) -> Select[*tuple[Any, ...]]:
    wanted = cast(order, ARRAY(Integer))
    place = 2 * step.c.position + cast(step.c.undo, Integer)
    return (
        _steps_of(saga_id)
        .where(step.c.position.in_({key // 2 for key in order}), place == any_(wanted))
        .order_by(func.array_position(wanted, place))
    )


def _steps(
    connection: Connection,
    saga_id: UUID,
    transitions: tuple[Transition, ...],
    rows: Iterable[Mapping[Any, Any]],
) -> tuple[StepDetail, ...]:
    tried = attempts(transitions)
    first: dict[tuple[int, bool], int] = {}
    last: dict[tuple[int, bool], Transition] = {}
    for transition in transitions:
        if transition.position is not None:
            key = (transition.position, transition.undo)
            first.setdefault(key, transition.seq)
            last[key] = transition
    children = _children(connection, saga_id)
    found: list[StepDetail] = []
    for row in rows:
        key = (row["position"], row["undo"])
        found.append(
            StepDetail(
                position=row["position"],
                undo=row["undo"],
                kind=row["kind"],
                name=row["name"],
                queue=row["queue"],
                state=StepState(row["state"]),
                attempt=row["attempt"],
                worker=row["worker"],
                args=row["args"],
                result=row["result"],
                error=row["error"],
                compensation=row["compensation"],
                pivot=row["pivot"],
                read_only=row["read_only"],
                in_doubt=row["in_doubt"],
                due_at=row["due_at"],
                deadline=row["deadline"],
                wakes=row["wakes"],
                note=row["note"],
                asked_at=row["asked_at"],
                started_at=row["started_at"],
                settled_at=row["settled_at"],
                attempts=tried.get(key, ()),
                last=last.get(key),
                child=children.get(row["position"]) if row["kind"] == "child" else None,
            )
        )
    never = max(first.values(), default=0) + 1
    return tuple(
        sorted(found, key=lambda s: (first.get((s.position, s.undo), never), s.undo, s.position))
    )


def _children(connection: Connection, saga_id: UUID) -> dict[int, ChildRow]:
    query = select(saga.c.parent_position, saga.c.id, saga.c.name, saga.c.status).where(
        saga.c.parent_id == saga_id
    )
    return {
        row[0]: ChildRow(row[1], row[2], SagaStatus(row[3])) for row in connection.execute(query)
    }


def _parent(connection: Connection, parent_id: UUID | None) -> ChildRow | None:
    if parent_id is None:
        return None
    query = select(saga.c.id, saga.c.name, saga.c.status).where(saga.c.id == parent_id)
    row = connection.execute(query).first()
    return ChildRow(row[0], row[1], SagaStatus(row[2])) if row else None


def _signals_of(saga_id: UUID) -> Select[*tuple[Any, ...]]:
    """What others sent; a failure that was taken back is in the history."""
    c = signal.c
    return (
        select(c.event, c.name, c.payload, c.dedup_id, c.sender, c.received_at, c.consumed_by)
        .where(c.saga_id == saga_id, c.name != TAKEN_BACK)
        .order_by(c.event)
    )


def _signals(rows: Iterable[Sequence[Any]], status: str) -> tuple[SignalRow, ...]:
    is_over = status not in (SagaStatus.RUNNING, SagaStatus.PARKED)
    return tuple(SignalRow(*row, unread=is_over and row[-1] is None) for row in rows)
