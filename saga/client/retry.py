"""A saga that failed goes on from where it failed, its children that failed with it."""

from uuid import UUID

import psycopg

from saga.core.rows import StepKey, StepRow, child_id
from saga.core.states import SagaStatus, StepState
from saga.core.undo.reopening import failed_position, failures_to_take_back
from saga.errors import Conflict
from saga.storage.hot.store import Store
from saga.storage.turning import by_hand, stuck
from saga.storage.turning.by_hand import Held
from saga.storage.turning.take_back import take_back
from saga.wakeups.message import ADVANCE, WakeUp

_WHY_NOT = {
    SagaStatus.COMPENSATED: "what it did is undone, so it cannot go on: start it anew",
    SagaStatus.CANCELLED: "it was stopped on purpose, and what it did is undone: start it anew",
    SagaStatus.PARTLY_COMPENSATED: "some of what it did is undone, so it cannot go on: see "
    "`saga blocked` for what is left to decide",
    SagaStatus.COMPENSATING: "it is undoing what it did",
}


def retry(
    connection: psycopg.Connection, held: Held, actor: str, reason: str | None, due_in: float
) -> list[WakeUp]:
    """Reopens a failed saga; returns whom to wake. Raises Conflict."""
    if held.parent_id is not None:
        raise Conflict(
            f"saga {held.id} is a child of {held.parent_id}, which has seen it fail: retry that one"
        )
    return _reopen(connection, held, actor, reason, due_in)


def _reopen(
    connection: psycopg.Connection, held: Held, actor: str, reason: str | None, due_in: float
) -> list[WakeUp]:
    if held.status == SagaStatus.PARKED:
        stuck.forgive(connection, held.id, actor=actor, reason=reason)
        return [WakeUp(held.queue, ADVANCE, held.id)]
    if held.status != SagaStatus.FAILED:
        why = _WHY_NOT.get(SagaStatus(held.status), "only a saga that failed can be retried")
        raise Conflict(f"saga {held.name} {held.id} is {held.status}: {why}")
    rows = Store(connection).load_steps(held.id)
    position = failed_position(held.error)
    if position is not None:
        _check(held, rows, position)
    positions = by_hand.ended_with_failure(connection, held.id, position)
    wakeups = _reopen_children(connection, held, rows, positions, actor, reason, due_in)
    reopened = take_back(
        connection,
        held.id,
        positions,
        after="ready",
        actor=actor,
        reason=reason or "retried",
        due_in=due_in,
    )
    by_hand.go_on(connection, held.id, actor=actor, reason=reason, due_in=due_in)
    wakeups += [
        WakeUp.for_step(step.queue or "", step.name, StepKey(held.id, step.position, False))
        for step in reopened
        if step.state == "ready"
    ]
    return [*wakeups, WakeUp(held.queue, ADVANCE, held.id)]


def _check(held: Held, rows: list[StepRow], position: int) -> None:
    """Raises Conflict if the failure cannot be taken back."""
    if failures_to_take_back(rows, position):
        return
    row = next((row for row in rows if row.position == position and not row.undo), None)
    if row is not None and row.state == StepState.SKIPPED:
        raise Conflict(f"saga {held.id}: a person skipped its step {position} {row.intent.name}")
    raise Conflict(
        f"saga {held.id}: its code went on after step {position} "
        f"{row.intent.name if row else ''} had failed, so the failure cannot be taken back"
    )


def _reopen_children(
    connection: psycopg.Connection,
    held: Held,
    rows: list[StepRow],
    positions: list[int],
    actor: str,
    reason: str | None,
    due_in: float,
) -> list[WakeUp]:
    wakeups: list[WakeUp] = []
    for row in rows:
        if row.intent.kind != "child" or row.undo or row.position not in positions:
            continue
        child = _held_child(connection, child_id(held.id, row.position))
        if child.status != SagaStatus.RUNNING:
            wakeups += _reopen(connection, child, actor, reason, due_in)
    return wakeups


def _held_child(connection: psycopg.Connection, saga_id: UUID) -> Held:
    held = by_hand.hold(connection, saga_id)
    if held is None:
        raise Conflict(f"its child {saga_id} was never started")
    return held
