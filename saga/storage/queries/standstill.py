"""What somebody needs to know who asks why a saga does not go on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    case,
    column,
    func,
    or_,
    select,
    values,
)

from saga.core.code_names import saga_code, step_code
from saga.core.states import ENDED, StepState
from saga.models import saga
from saga.models import worker as w
from saga.storage.queries.detail import SagaDetail, StepDetail, detail

_DEEPEST = 5
_MOST_CHILDREN = 5


@dataclass(frozen=True, slots=True)
class Crew:
    """Live workers. `serving` the queue; `able`: those of them that have the code, or are too old
    to say; `elsewhere`: those that have it, whatever they serve.
    """

    serving: int
    able: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class Standstill:
    """A saga, and on whom it depends. `undecided`: something has happened that its code has not
    seen yet; `deciders`: who can show it; `crews`: of its steps that are ready; `leases`: until
    when those hold theirs that run one; `versions`: those of this saga that live workers have;
    `children`: the same of the children that it waits for.
    """

    saga: SagaDetail
    undecided: bool
    deciders: Crew
    versions: tuple[int, ...]
    crews: Mapping[tuple[int, bool], Crew]
    leases: Mapping[str, datetime]
    children: Mapping[int, "Standstill"]


def standstill(connection: Connection, saga_id: UUID, *, depth: int = 0) -> Standstill:
    """As of one moment. Raises SagaNotFound."""
    found = detail(connection, saga_id)
    ready = [step for step in found.steps if step.state in (StepState.READY, StepState.UNKNOWN)]
    own = (found.queue, saga_code(found.name, found.version))
    wanted = {(step.queue or "", step_code(step.name)) for step in ready} | {own}
    crews = _crews(connection, wanted)
    return Standstill(
        saga=found,
        undecided=found.status not in ENDED and _is_undecided(connection, found),
        deciders=crews[own],
        versions=_versions(connection, found.name),
        crews={
            (step.position, step.undo): crews[step.queue or "", step_code(step.name)]
            for step in ready
        },
        leases=_leases(connection, {step.worker for step in found.steps if step.worker}),
        children=_children(connection, found, depth),
    )


def _is_undecided(connection: Connection, found: SagaDetail) -> bool:
    query = select(saga.c.events > saga.c.applied).where(saga.c.id == found.id)
    no_open = all(step.has_ended for step in found.steps)
    return no_open or bool(connection.execute(query).scalar())


def _crews(
    connection: Connection, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], Crew]:
    asked = values(column("queue", Text), column("code", Text), name="asked").data(list(wanted))
    serves = asked.c.queue == func.any(w.c.queues)
    has = asked.c.code == func.any(w.c.code)
    silent = w.c.code.is_(None)
    live = w.c.ended_at.is_(None)

    def number(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count(case((condition, w.c.id)))

    query = (
        select(
            asked.c.queue,
            asked.c.code,
            number(serves),
            number(serves & or_(has, silent)),
            number(has),
        )
        .select_from(asked.outerjoin(w, live))
        .group_by(asked.c.queue, asked.c.code)
    )
    return {(row[0], row[1]): Crew(*row[2:]) for row in connection.execute(query)}


def _versions(connection: Connection, name: str) -> tuple[int, ...]:
    """Of this saga, that live workers have."""
    prefix = saga_code(name, 0)[:-1]
    code = func.unnest(w.c.code).label("code")
    known = select(code).where(w.c.ended_at.is_(None)).subquery()
    query = select(known.c.code).where(known.c.code.startswith(prefix, autoescape=True)).distinct()
    texts = [text.removeprefix(prefix) for text in connection.execute(query).scalars()]
    return tuple(sorted(int(text) for text in texts if text.isdecimal()))


def _leases(connection: Connection, names: Collection[str]) -> dict[str, datetime]:
    if not names:
        return {}
    query = select(w.c.name, func.max(w.c.lease_until)).where(
        w.c.name.in_(names), w.c.ended_at.is_(None)
    )
    return {row[0]: row[1] for row in connection.execute(query.group_by(w.c.name))}


def _children(connection: Connection, found: SagaDetail, depth: int) -> dict[int, Standstill]:
    if depth >= _DEEPEST:
        return {}
    waited_for: list[StepDetail] = [
        step
        for step in found.steps
        if step.kind == "child"
        and step.state is StepState.WAITING
        and step.child is not None
        and step.child.status not in ENDED
    ]
    return {
        step.position: standstill(connection, step.child.id, depth=depth + 1)
        for step in waited_for[:_MOST_CHILDREN]
        if step.child is not None
    }
