"""The ledger: what sagas did to the outside world, and what of it still stands.

A step's row is its entry. It is claimed when the step first gets a lease, before the effect, and
settled by the step's outcome and by its compensation. A read-only step has no entry.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from saga.core.context import idempotency_key
from saga.core.states import RESULTLESS, StepState
from saga.errors import InvalidInput
from saga.models import saga, step
from saga.storage import payloads
from saga.storage.queries.filtering import moment
from saga.storage.queries.page import Cursor, Page, limited, take

LATELY = timedelta(days=1)
"""How far back one looks for the effects of all sagas, if nobody says more."""

OUTCOMES = ("claimed", "succeeded", "failed", "unknown", "compensated")


@dataclass(frozen=True, slots=True)
class EffectFilter:
    """Which entries. `since`: claimed at or after, or so long ago at most."""

    saga_id: UUID | None = None
    name: str | None = None
    outcome: str | None = None
    standing: bool = False
    since: datetime | timedelta | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """One entry. `standing`: it succeeded or is in doubt, and is not undone.

    `args_hash` is the SHA-256 of the arguments as Postgres writes them in `jsonb`; `receipt` is
    the step's result; `undo` is the state of the compensation, None before there is one.
    """

    key: str
    saga_id: UUID
    saga_name: str
    position: int
    step: str
    args_hash: str
    attempts: int
    outcome: str
    standing: bool
    receipt: Any
    error: Any
    compensation: str | None
    undo: str | None
    undo_attempts: int
    claimed_at: datetime
    settled_at: datetime | None


def effects(
    connection: Connection,
    wanted: EffectFilter | None = None,
    *,
    limit: int = 100,
    after: Cursor | None = None,
    size: int | None = None,
) -> Page[Effect]:
    """One page of the ledger: of one saga by position, of all newest first. Raises InvalidInput.
    `size`: see `take`.
    """
    query = matching(wanted or EffectFilter(), after)
    found, more = take(connection, query, limited(limit), size)
    rows = [Effect(idempotency_key(row.saga_id, row.position), *row) for row in found]
    last = rows[-1] if more else None
    return Page(tuple(rows), Cursor(last.claimed_at, last.saga_id, last.position) if last else None)


def matching(wanted: EffectFilter, after: Cursor | None) -> Select[*tuple[Any, ...]]:
    """All that follow `after`, in order. Those of all sagas are sorted: give a `since`."""
    query = _query().where(*_conditions(wanted))
    if wanted.saga_id is not None:
        query = query.order_by(step.c.position)
        return query if after is None else query.where(step.c.position > after.position)
    query = query.order_by(_CLAIMED_AT.desc(), step.c.saga_id.desc(), step.c.position.desc())
    if after is not None:
        order = tuple_(_CLAIMED_AT, step.c.saga_id, step.c.position)
        query = query.where(order < (after.at, after.saga_id, after.position))
    return query


_all = step.alias()
# Looked up for each entry, as the saga's name is: no plan reads whole tables for a page.
_undo = (
    select(_all.c.state, _all.c.attempt)
    .where(_all.c.saga_id == step.c.saga_id, _all.c.position == step.c.position, _all.c.undo)
    .limit(1)
    .lateral("undo")
)
_CLAIMED_AT = step.c.started_at
_IS_UNDONE = func.coalesce(_undo.c.state == StepState.SUCCEEDED, False)
_IS_LATE = and_(
    step.c.state.in_(RESULTLESS),
    literal_column(payloads.read("step.result")).is_not(None),
)
_OUTCOME: ColumnElement[str] = case(
    (_IS_UNDONE, "compensated"),
    # An attempt that was given up came back with its result.
    (or_(step.c.state == StepState.SUCCEEDED, and_(step.c.in_doubt, _IS_LATE)), "succeeded"),
    (or_(step.c.in_doubt, step.c.state == StepState.UNKNOWN), "unknown"),
    (
        step.c.state.in_(
            [StepState.RUNNING, StepState.READY, StepState.RETRYING, StepState.BLOCKED]
        ),
        "claimed",
    ),
    else_="failed",
)
_STANDS = and_(
    ~_IS_UNDONE,
    or_(step.c.state.in_([StepState.SUCCEEDED, StepState.UNKNOWN]), step.c.in_doubt),
)
_HASH = func.encode(
    func.sha256(func.convert_to(literal_column(payloads.canonical("step.args")), "UTF8")),
    literal_column("'hex'"),
)


def _query() -> Select[*tuple[Any, ...]]:
    return (
        select(
            step.c.saga_id,
            select(saga.c.name).where(saga.c.id == step.c.saga_id).scalar_subquery(),
            step.c.position,
            step.c.name.label("step"),
            _HASH,
            step.c.attempt,
            _OUTCOME,
            _STANDS,
            step.c.result,
            step.c.error,
            step.c.compensation,
            _undo.c.state,
            func.coalesce(_undo.c.attempt, 0),
            _CLAIMED_AT,
            step.c.settled_at,
        )
        .select_from(step.outerjoin(_undo, true()))
        .where(
            step.c.kind == "step",
            ~step.c.undo,
            ~step.c.read_only,
            step.c.attempt > 0,
            _CLAIMED_AT.is_not(None),
        )
    )


def _conditions(wanted: EffectFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.saga_id is not None:
        found.append(step.c.saga_id == wanted.saga_id)
    if wanted.name is not None:
        found.append(step.c.name == wanted.name)
    if wanted.outcome is not None:
        if wanted.outcome not in OUTCOMES:
            raise InvalidInput(f"outcome: one of {', '.join(OUTCOMES)}, not {wanted.outcome!r}")
        found.append(_OUTCOME.is_not_distinct_from(wanted.outcome))
    if wanted.standing:
        found.append(_STANDS)
    if wanted.since is not None:
        found.append(moment(wanted.since) <= _CLAIMED_AT)
    return found
