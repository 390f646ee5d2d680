"""A saga that failed goes on from where it failed, and what it asks for again is what its code asks
for today. Its children that failed go on once it has asked for them. One that is on its way has its
next attempts made now.
"""

from uuid import UUID

import psycopg

from saga.core.rows import child_id
from saga.core.states import ENDED, FORWARD, SagaStatus, StepState
from saga.core.undo.reopening import failed_position
from saga.errors import Conflict
from saga.storage.hot.store import Store
from saga.storage.turning import by_hand, stuck
from saga.storage.turning.by_hand import Held
from saga.storage.turning.hurry import hurry
from saga.storage.turning.take_back import reopen
from saga.wakeups.message import ADVANCE, WakeUp

_WHY_NOT = {
    SagaStatus.COMPENSATED: "what it did is undone, so it cannot go on: start it anew",
    SagaStatus.CANCELLED: "it was stopped on purpose, and what it did is undone: start it anew",
    SagaStatus.PARTLY_COMPENSATED: "some of what it did is undone, so it cannot go on: see "
    "`saga blocked` for what is left to decide",
}
_NOTHING_TO_RETRY = (
    "only a saga that failed, or is parked, or waits for another attempt, can be retried"
)


def retry(
    connection: psycopg.Connection, held: Held, actor: str, reason: str | None, due_in: float
) -> list[WakeUp]:
    """Reopens a failed saga, or hurries one; returns whom to wake. Raises Conflict."""
    if held.status == SagaStatus.PARKED:
        stuck.forgive(connection, held.id, actor=actor, reason=reason)
        return [WakeUp(held.queue, ADVANCE, held.id)]
    if held.status not in ENDED and hurry(connection, held.id):
        return []  # the sweeper was told
    if held.status == SagaStatus.FAILED and held.parent_id is not None:
        raise Conflict(
            f"saga {held.id} is a child of {held.parent_id}, which has seen it fail: retry that one"
        )
    _check(connection, held)
    reopen(connection, held, actor, reason, due_in)
    return [WakeUp(held.queue, ADVANCE, held.id)]


def _check(connection: psycopg.Connection, held: Held) -> None:
    """Raises Conflict if the failure cannot be taken back: it, or that of a child."""
    if held.status != SagaStatus.FAILED:
        why = _WHY_NOT.get(SagaStatus(held.status), _NOTHING_TO_RETRY)
        raise Conflict(f"saga {held.name} {held.id} is {held.status}: {why}")
    rows = Store(connection).load_steps(held.id)
    position = failed_position(held.error)
    row = next((row for row in rows if row.position == position and not row.undo), None)
    if row is not None and row.state == StepState.SKIPPED:
        raise Conflict(f"saga {held.id}: a person skipped its step {position} {row.intent.name}")
    ended = by_hand.ended_with_failure(connection, held.id, position)
    for row in rows:
        if row.intent.kind == "child" and not row.undo and row.position in ended:
            child = _held_child(connection, child_id(held.id, row.position))
            if child.status not in FORWARD:
                _check(connection, child)


def _held_child(connection: psycopg.Connection, saga_id: UUID) -> Held:
    held = by_hand.hold(connection, saga_id)
    if held is None:
        raise Conflict(f"its child {saga_id} was never started")
    return held
