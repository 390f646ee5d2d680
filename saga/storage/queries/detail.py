"""One saga with everything that `show` needs, as of one moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select

from saga.core.states import SagaStatus, StepState
from saga.errors import SagaNotFound
from saga.models import saga, signal, step
from saga.models import worker as worker_table
from saga.storage.queries.history import Attempt, Transition, attempts, history
from saga.storage.turning.take_back import TAKEN_BACK


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
    row = (
        connection.execute(select(saga, func.now().label("now")).where(saga.c.id == saga_id))
        .mappings()
        .first()
    )
    if row is None:
        raise SagaNotFound(f"there is no saga {saga_id}")
    transitions = history(connection, saga_id)
    own = [t for t in transitions if t.position is None]
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
        steps=_steps(connection, saga_id, transitions),
        signals=_signals(connection, saga_id, SagaStatus(row["status"])),
        last=own[-1] if own else None,
    )


def _steps(
    connection: Connection, saga_id: UUID, transitions: tuple[Transition, ...]
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
    w = worker_table
    query = (
        select(step, w.c.name.label("worker"))
        .select_from(step.outerjoin(w, w.c.id == step.c.worker_id))
        .where(step.c.saga_id == saga_id)
    )
    found: list[StepDetail] = []
    for row in connection.execute(query).mappings():
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
    never = len(transitions) + 1
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


def _signals(connection: Connection, saga_id: UUID, status: SagaStatus) -> tuple[SignalRow, ...]:
    """What others sent; a failure that was taken back is in the history."""
    is_over = status not in (SagaStatus.RUNNING, SagaStatus.PARKED)
    c = signal.c
    query = (
        select(c.event, c.name, c.payload, c.dedup_id, c.sender, c.received_at, c.consumed_by)
        .where(c.saga_id == saga_id, c.name != TAKEN_BACK)
        .order_by(c.event)
    )
    return tuple(
        SignalRow(*row, unread=is_over and row[-1] is None) for row in connection.execute(query)
    )
