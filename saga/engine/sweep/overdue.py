"""What is due and needs no worker: retries become ready, timers fire, deadlines pass, and wake-ups
that were lost are sent again.
"""

from functools import partial
from typing import Literal

from saga.core.failures import TIMED_OUT
from saga.core.rows import child_id
from saga.core.states import CLAIMABLE
from saga.engine.advance.children import (
    compensate_children,
    recall_children,
    report_to_parents,
    start_child,
)
from saga.engine.sweep.counters import COUNTERS
from saga.engine.sweep.resending import Resending
from saga.failpoint import failpoint
from saga.storage import due
from saga.storage.due import DueStep
from saga.storage.hot.rows import Move
from saga.storage.hot.store import Store, each
from saga.wakeups.message import ADVANCE, Publisher, WakeUp

_BATCH = 500


class Overdue:
    """Takes up to so many of each at a time."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._resending = Resending(publisher)

    @property
    def suspects_some(self) -> bool:
        """Whether wake-ups may be lost, and only a queue's end will tell."""
        return self._resending.doubts_some

    def expedite_lost(self, store: Store) -> None:
        """Makes due what was taken to wait in queues that are empty by now."""
        drained = self._resending.drained(store)
        if drained:
            due.expedite(store.connection, drained, _BATCH)

    def sweep(self, store: Store) -> bool:
        """Whether there may be more."""
        more_steps, more_sagas = self._sweep_steps(store), self._sweep_sagas(store)
        return more_steps or more_sagas

    def _sweep_steps(self, store: Store) -> bool:
        rows = due.steps(store.connection, _BATCH)
        if not rows:
            return False
        failpoint("P13")
        waits = [row for row in rows if row.kind == "signal"]
        moves = [move for row in rows if row not in waits and (move := move_of(row)) is not None]
        landed = store.record_each(moves)
        landed |= each(partial(due.expire, store), [end_of_wait(row) for row in waits])
        failpoint("P18")
        moved = [row for row in rows if row.key in landed]
        COUNTERS.timeouts += sum(row.state == "running" for row in moved)
        stuck = [row for row in rows if row.state in CLAIMABLE]
        children = [row for row in rows if row.kind == "child"]
        left = [row for row in waits if row.key not in landed]
        later = stuck + children + left
        if later:
            due.postpone_steps(store.connection, [row.key for row in later])
        again = self._resending.chosen([(row.wakes, wakeup_of(row)) for row in stuck], store)
        self._publisher.publish([*map(wakeup_of, moved + left), *again])
        if children:
            self._look_after(store, children)
        return len(rows) == _BATCH and bool(landed or later)

    def _sweep_sagas(self, store: Store) -> bool:
        rows = due.sagas(store.connection, _BATCH)
        if rows:
            due.postpone_sagas(store.connection, [row.id for row in rows])
            wanted = [(row.wakes, WakeUp(row.queue, ADVANCE, row.id)) for row in rows]
            self._publisher.publish(self._resending.chosen(wanted, store))
        return len(rows) == _BATCH

    def _look_after(self, store: Store, rows: list[DueStep]) -> None:
        """Children whose start, end or undoing was lost with a process."""
        children = [
            (row.saga_id, row.position, child_id(row.saga_id, row.position))
            for row in rows
            if not row.undo
        ]
        if children:
            ids = [child for _, _, child in children]
            for parent, position, intent in store.lost_children(children):
                start_child(parent, position, intent, store, self._publisher)
            recall_children(ids, store, self._publisher, parent_stops=True)
            report_to_parents(ids, store, self._publisher)
        undone = [(row.saga_id, row.position) for row in rows if row.undo]
        if undone:
            compensate_children(undone, store, self._publisher)


def move_of(row: DueStep) -> Move | None:
    """The transition that is due, if it is one that needs no worker."""
    if row.state == "retrying":
        return Move(row.key, "retrying", "ready", due_in=2.0)
    if row.state == "running":
        return unknown(row, "timed out")
    if row.state != "waiting" or row.kind == "child":
        return None
    if row.kind == "timer":
        return Move(row.key, "waiting", "succeeded", result="null", is_event=True)
    return end_of_wait(row)


def end_of_wait(row: DueStep) -> Move:
    """Nobody signalled or decided in time."""
    return Move(row.key, "waiting", "failed", error=TIMED_OUT, is_event=True, reason="deadline")


def unknown(row: DueStep, reason: str, void: Literal["lost"] | None = None) -> Move:
    """Nobody can say whether the attempt had its effect."""
    return Move(
        row.key,
        "running",
        "unknown",
        row.attempt,
        in_doubt=True,
        due_in=2.0,
        fences=True,
        reason=reason,
        void=void,
    )


def wakeup_of(row: DueStep) -> WakeUp:
    if row.state == "waiting":
        return WakeUp(row.saga_queue, ADVANCE, row.saga_id)
    return WakeUp.for_step(row.queue or "", row.name, row.key, row.attempt)
