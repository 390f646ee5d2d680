"""The SQL of a filter of sagas."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from saga.core.saga_filter import WAITS, Comparison, SagaFilter, Wait, checked_status, moment_of
from saga.core.states import SETTLED, SagaStatus, StepState
from saga.errors import InvalidInput
from saga.models import history, saga, step

_COMMON = {SagaStatus.RUNNING, SagaStatus.COMPLETED}  # not in the index of those that are `rare`

IS_OPEN = step.c.state.not_in([str(state) for state in SETTLED])


def conditions(wanted: SagaFilter) -> list[ColumnElement[bool]]:
    """For a WHERE on `saga`. Raises InvalidInput."""
    wanted.check()
    found: list[ColumnElement[bool]] = []
    same = ((saga.c.name, wanted.name), (saga.c.version, wanted.version))
    found += [column == value for column, value in same if value is not None]
    if wanted.key is not None:
        found.append(saga.c.key == wanted.key)
        if wanted.name is None:
            found.append(saga.c.name.in_(_names_with_keys()))
    if wanted.statuses:
        found.append(saga.c.status.in_([checked_status(s) for s in wanted.statuses]))
        if _COMMON.isdisjoint(wanted.statuses):
            found.append(saga.c.rare)
    if wanted.roots:
        found.append(saga.c.parent_id.is_(None))
    found += _times(wanted)
    found += [_attribute(comparison) for comparison in wanted.comparisons()]
    if wanted.step is not None or wanted.error is not None or wanted.waits_for is not None:
        found.append(_place(wanted))
    return found


def step_conditions(wanted: SagaFilter) -> list[ColumnElement[bool]]:
    """For a WHERE on `step`, of those that are open: what the filter says of steps."""
    found: list[ColumnElement[bool]] = []
    if wanted.step is not None:
        found.append(step.c.name == wanted.step)
    if wanted.error is not None:
        found.append(_holds(_of_step(), wanted.error))
    if wanted.waits_for is not None:
        found.append(_waits(Wait.parse(wanted.waits_for)))
    return found


def moment(since: datetime | timedelta | str, field: str = "since") -> ColumnElement[datetime]:
    """A point in time by the database's clock. Raises InvalidInput."""
    found = moment_of(since, field)
    if found is None:
        raise InvalidInput(f"{field}: a time, or how long ago")
    return func.now() - literal(found) if isinstance(found, timedelta) else literal(found)


def error_line(error: ColumnElement[Any]) -> ColumnElement[str]:
    """`Type: message` of a stored error, or what there is of it."""
    return func.concat_ws(": ", error["type"].as_string(), error["message"].as_string())


def _times(wanted: SagaFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(saga.c.created_at >= moment(wanted.since))
    if wanted.until is not None:
        found.append(saga.c.created_at < moment(wanted.until, "until"))
    if wanted.older_than is not None:
        found.append(saga.c.created_at < moment(wanted.older_than, "older_than"))
    return found


def _attribute(wanted: Comparison) -> ColumnElement[bool]:
    """Equal by containment, which the index has; within a range by what else is left."""
    if wanted.operator == "=":
        return saga.c.attributes.contains(literal({wanted.name: wanted.value}, JSONB))
    path = f"strict $.{json.dumps(wanted.name)} {wanted.operator} {json.dumps(wanted.value)}"
    return saga.c.attributes.path_match(cast(path, JSONPATH))


def _names_with_keys() -> Any:
    """The names of sagas with keys, one look into their index each: a key alone is in none."""
    has_key = saga.c.key.is_not(None)
    first = select(func.min(saga.c.name).label("name")).where(has_key).cte(recursive=True)
    following = (
        select(func.min(saga.c.name))
        .where(has_key, saga.c.name > first.c.name)
        .correlate(first)
        .scalar_subquery()
    )
    names = first.union_all(select(following).where(first.c.name.is_not(None)))
    return select(names.c.name).where(names.c.name.is_not(None))


def _place(wanted: SagaFilter) -> ColumnElement[bool]:
    """Where it stands: at one step for which all of it holds, or, if it has ended, by its error."""
    of_saga = step.c.saga_id == saga.c.id
    here = exists(select(1).where(of_saga, IS_OPEN, *step_conditions(wanted)).correlate(saga))
    if wanted.waits_for is not None:
        return here
    ended: list[ColumnElement[bool]] = [saga.c.error.is_not(None)]
    if wanted.step is not None:
        ended.append(saga.c.error["name"].as_string() == wanted.step)
    if wanted.error is not None:
        ended.append(_holds(error_line(saga.c.error), wanted.error))
    return or_(here, and_(*ended))


def last_reason(*after: ColumnElement[Any] | str) -> ScalarSelect[str | None]:
    """Why a step was last moved to one of these states."""
    return (
        select(history.c.reason)
        .where(
            history.c.saga_id == step.c.saga_id,
            history.c.position == step.c.position,
            history.c.undo == step.c.undo,
            or_(*(history.c.after == state for state in after)),
        )
        .order_by(history.c.seq.desc())
        .limit(1)
        .correlate(step)
        .scalar_subquery()
    )


def doubt() -> ColumnElement[str | None]:
    """Why nobody knows how a blocked step ended, which its own row has no error for."""
    return case((step.c.state == StepState.BLOCKED, last_reason(StepState.UNKNOWN)))


def _of_step() -> ColumnElement[str]:
    """The error of an open step; while it is tried again it stands in the history alone."""
    return func.concat_ws(" ", error_line(step.c.error), last_reason(step.c.state), doubt())


def _holds(text: ColumnElement[str], part: str) -> ColumnElement[bool]:
    if "*" not in part:
        return func.strpos(func.lower(text), part.lower()) > 0
    # Between stars all is literal, and what comes before the first may stand anywhere.
    escaped = re.sub(r"([\\%_])", r"\\\1", part).replace("*", "%")
    return text.ilike(f"%{escaped}%")


def _waits(wait: Wait) -> ColumnElement[bool]:
    if wait.kind is None:
        return and_(
            step.c.name == wait.name, step.c.state == StepState.WAITING, step.c.kind != "timer"
        )
    kind, state = WAITS[wait.kind]
    found: list[ColumnElement[bool]] = [step.c.state == state]
    if kind is not None:
        found.append(step.c.kind == kind)
    if wait.name is not None:
        found.append(step.c.name == wait.name)
    return and_(*found)
