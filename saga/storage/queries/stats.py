"""How many sagas there are of each kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    desc,
    distinct,
    func,
    select,
    true,
)

from saga.core.saga_filter import SagaFilter
from saga.errors import InvalidInput
from saga.models import saga, step
from saga.storage.queries.filtering import (
    IS_OPEN,
    conditions,
    doubt,
    error_line,
    step_conditions,
)

GROUPS = ("status", "name", "step", "error", "queue")
MOST = 1000
_LONGEST = 200  # characters of an error that make it another one
_VARIANTS = 5  # errors that are told apart although they differ in numbers alone
# Ids of orders and the like; the numbers of statuses (404, 503) are few, and stay as they are.
_NUMBERS = r"[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|0x[0-9a-fA-F]+|[0-9]+"


@dataclass(frozen=True, slots=True)
class Count:
    """`count` sagas for which the values of `by`, in the order asked for, are these."""

    by: tuple[str | None, ...]
    count: int


def stats(
    connection: Connection, wanted: SagaFilter | None = None, by: Sequence[str] = ("status",)
) -> tuple[Count, ...]:
    """Numbers of sagas, the largest first, of at most 1,000 kinds. Raises InvalidInput.

    `step` is the step at which it stands, or failed; `error` its own, or that of the step; `queue`
    that of the step, or its own. A saga at several steps counts for each of them. Errors that
    differ in numbers alone, in more than five ways, are one, with `*` for the numbers: as the
    filter takes it.
    """
    strange = [group for group in by if group not in GROUPS]
    if strange or len(set(by)) != len(by):
        raise InvalidInput(f"by: each of {', '.join(GROUPS)} once at most")
    filtered = wanted or SagaFilter()
    here = (
        select(step.c.name, step.c.queue, _error_of_step().label("error"))
        .where(step.c.saga_id == saga.c.id, IS_OPEN, *step_conditions(filtered))
        .correlate(saga)
        .lateral("here")
    )
    own = saga.c.error
    columns: dict[str, ColumnElement[str | None]] = {
        "status": saga.c.status,
        "name": saga.c.name,
        "step": func.coalesce(here.c.name, own["name"].as_string()),
        "queue": func.coalesce(here.c.queue, saga.c.queue),
        "error": func.nullif(
            func.left(
                func.split_part(
                    func.coalesce(func.nullif(here.c.error, ""), error_line(own)), "\n", 1
                ),
                _LONGEST,
            ),
            "",
        ),
    }
    groups = [columns[group].label(f"by_{group}") for group in by]
    at_steps = not {"step", "error", "queue"}.isdisjoint(by)
    source = saga.outerjoin(here, true()) if at_steps else saga
    number = func.count(distinct(saga.c.id)) if at_steps else func.count()
    counted = (
        select(*groups, number.label("number"))
        .select_from(source)
        .where(and_(true(), *conditions(filtered)))
        .group_by(*groups)
    )
    query = _merged(counted, by) if "error" in by else counted
    query = query.order_by(desc("number"), *(f"by_{group}" for group in by)).limit(MOST)
    return tuple(Count(tuple(row[:-1]), int(row[-1])) for row in connection.execute(query))


def _error_of_step() -> ColumnElement[str | None]:
    return func.coalesce(func.nullif(error_line(step.c.error), ""), doubt())


def _merged(counted: Select[*tuple[Any, ...]], by: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Errors of one kind as one, if there are many of it that differ in numbers alone."""
    exact = counted.subquery()
    kind = func.regexp_replace(exact.c.by_error, _NUMBERS, "*", "g")
    others = [exact.c[f"by_{group}"] for group in by if group != "error"]
    same = func.count().over(partition_by=[kind, *others])
    told = case((same > _VARIANTS, kind), else_=exact.c.by_error)
    named = select(*others, told.label("by_error"), exact.c.number).subquery()
    groups = [named.c[f"by_{group}"] for group in by]
    return select(*groups, func.sum(named.c.number).label("number")).group_by(*groups)
