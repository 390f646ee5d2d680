"""What a landing or an outcome sets in motion besides its own saga.

Each of these may be lost with the process: a step that is no longer wanted then runs in vain and is
accounted for; a child that was not started, or whose end was not reported, is found by the sweeper.
"""

import logging
from collections.abc import Iterable
from uuid import UUID

from saga.core import failures
from saga.core.rows import StepKey, StepRow, child_id
from saga.core.states import OPEN, StepState
from saga.core.undo.plan import dropped_state
from saga.engine.advance.children import (
    compensate_children,
    recall_children,
    report_to_parents,
    start_child,
)
from saga.engine.advance.live import Live
from saga.engine.advance.stages import Decided
from saga.storage.hot.rows import Landing, Move
from saga.storage.hot.store import Store
from saga.wakeups.message import ADVANCE, Sink, WakeUp

log = logging.getLogger("saga.engine")


def after_landing(live: Live, decided: Decided, store: Store, sink: Sink) -> None:
    """Drops what the saga no longer waits for, starts its children, reports its end."""
    saga_id = live.saga_id
    if decided.dropped:
        drop(live, decided, store, sink)
    if decided.recalled:
        recall_children(_children(saga_id, decided.recalled), store, sink)
    if decided.landing is not None:
        _set_off_children(decided.landing, store, sink)
    if decided.ends and live.parent is not None:
        report_to_parents([saga_id], store, sink)


def tell_of_failure(live: Live, cause: BaseException | None) -> None:
    """Logs what a saga's own code has raised. What a step has raised, its own attempt has told."""
    if cause is None or failures.is_of_a_step(cause):
        return
    told = None if failures.is_private() else cause
    name = type(cause).__name__
    log.error("the code of saga %s %s raised %s", live.name, live.saga_id, name, exc_info=told)


def _set_off_children(landing: Landing, store: Store, sink: Sink) -> None:
    children = [asked for asked in landing.asked if asked.intent.kind == "child"]
    for asked in children:
        if not asked.undo:
            start_child(landing.saga_id, asked.position, asked.intent, store, sink)
    undone = [(landing.saga_id, asked.position) for asked in children if asked.undo]
    if undone:
        compensate_children(undone, store, sink)


def drop(live: Live, decided: Decided, store: Store, sink: Sink) -> None:
    """Cancels steps that nobody waits for; one that is running goes on, and its outcome is kept.
    Each later decision repeats it, until all have settled.

    Either is an event: a scope undoes a step that was dropped on its way once that has ended. What
    a saga that has ended left for a person stays.
    """
    rows = store.load_some_steps([StepKey(live.saga_id, *key) for key in decided.dropped])
    if decided.landing is None and live.has_ended:
        rows = [row for row in rows if row.state != StepState.BLOCKED]
    recalled = [
        row for row in rows if row.intent.kind == "child" and row.state == StepState.WAITING
    ]
    if recalled:
        positions = [row.position for row in recalled]
        recall_children(_children(live.saga_id, positions), store, sink)
    moves = [move for row in rows if row not in recalled for move in _cancelled(row)]
    if moves:
        wake(store, store.record_each(moves), sink)


def _children(saga_id: UUID, positions: Iterable[int]) -> list[UUID]:
    return [child_id(saga_id, position) for position in positions]


def _cancelled(row: StepRow) -> Iterable[Move]:
    """Of what is open, but for what runs."""
    if row.state not in OPEN or row.state == StepState.RUNNING:
        return
    state = dropped_state(row)
    in_doubt = state == StepState.FAILED
    yield Move(
        row.key,
        row.state,
        state.value,
        error=_IN_DOUBT if in_doubt else None,
        in_doubt=in_doubt,
        is_event=True,
        fences=True,
        reason="no longer wanted",
    )


_IN_DOUBT = '{"type":"Unknown","message":"no longer wanted","in_doubt":true}'


def wake(store: Store, landed: Iterable[StepKey], sink: Sink) -> None:
    """Wakes the sagas of steps that moved."""
    sagas = {key.saga_id for key in landed}
    if sagas:
        sink.publish(
            [WakeUp(queue, ADVANCE, saga_id) for saga_id, queue in store.queues(list(sagas))]
        )
