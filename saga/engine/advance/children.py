"""Child sagas: started after their parent's decision has landed, reported when they have ended, and
undone before what their parent did earlier.

A child's id follows from its parent's, so that starting it twice starts it once.
"""

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg

from saga.core.intent import Intent
from saga.core.rows import StepKey, child_id
from saga.core.states import StepState
from saga.storage.hot.rows import Move
from saga.storage.hot.store import Store
from saga.wakeups.message import ADVANCE, Sink, WakeUp


def start_child(parent: UUID, position: int, intent: Intent, store: Store, sink: Sink) -> None:
    """Starts a child if it is not started yet, and wakes it."""
    args = json.loads(intent.args)
    child, queue = child_id(parent, position), intent.queue or "sagas"
    input_ = json.dumps(args["input"], separators=(",", ":"))
    if store.start_child(child, args["version"], queue, input_, parent, position):
        sink.publish([WakeUp(queue, ADVANCE, child)])


def recall_children(
    children: Sequence[UUID], store: Store, sink: Sink, *, parent_stops: bool = False
) -> None:
    """Stops children whose parents do not wait for them any more. It is repeated for those that are
    not there yet, or busy: by the decisions of a parent that goes on, else by the sweeper.
    """
    with suppress(psycopg.errors.LockNotAvailable):
        turned = store.recall_children(children, parent_stops=parent_stops)
        _wake(turned, sink)


def compensate_children(wanted: Sequence[tuple[UUID, int]], store: Store, sink: Sink) -> None:
    """Lets children, given as parent and position, undo themselves, as their parents are undone;
    the end of those that need not is reported at once. A child of which there is nothing to undo
    stays as it is.
    """
    idle = store.idle_children([parent for parent, _ in wanted])
    busy = [child_id(*key) for key in wanted if key not in idle]
    with suppress(psycopg.errors.LockNotAvailable):
        _wake(store.compensate_children(busy), sink)
    report_to_parents([child_id(*key) for key in wanted], store, sink, idle)


def report_to_parents(
    ended: Sequence[UUID], store: Store, sink: Sink, idle: Collection[tuple[UUID, int]] = ()
) -> None:
    """Settles what waits for these sagas at their parents, and wakes the parents. `idle`: of these,
    as parent and position, there is nothing to undo.
    """
    moves: list[Move] = []
    queues: dict[UUID, str] = {}
    for parent, position, queue, status, cause, result, error in store.ends_of_children(ended):
        queues[parent] = queue
        forward, undo = StepKey(parent, position, False), StepKey(parent, position, True)
        if status == "completed":
            moves.append(Move(forward, "waiting", "succeeded", result=result, is_event=True))
            if (parent, position) in idle:
                moves.append(_undone(undo, StepState.WAITING))
            continue
        partly = status == "partly_compensated"
        text = _error(status, error, in_doubt=partly)
        moves.append(Move(forward, "waiting", "failed", error=text, in_doubt=partly, is_event=True))
        if not partly:
            moves += [_undone(undo, before) for before in (StepState.WAITING, StepState.BLOCKED)]
        elif cause == "parent":
            moves.append(_left(undo, text))
    landed = store.record_each(moves) if moves else {}
    undone = [key.saga_id for key in landed if key.undo]
    if undone:
        store.reopen(undone, reason="a child has undone itself")
    sink.publish([WakeUp(queues[key.saga_id], ADVANCE, key.saga_id) for key in landed])


def _undone(undo: StepKey, before: str) -> Move:
    return Move(undo, before, "succeeded", result="null", is_event=True)


def _left(undo: StepKey, error: str) -> Move:
    why = "the child could undo itself in part only"
    return Move(undo, "waiting", "blocked", error=error, is_event=True, fences=True, reason=why)


def _error(status: str, error: str | None, *, in_doubt: bool) -> str:
    """The child's error as its parent sees it."""
    told: dict[str, Any] = {
        "type": "SagaFailed",
        "message": f"the child saga ended as {status}",
        **(json.loads(error) if error else {}),
    }
    told.pop("step", None)  # a position of the child's
    return json.dumps(told | {"in_doubt": True} if in_doubt else told)


def _wake(turned: Sequence[tuple[UUID, str]], sink: Sink) -> None:
    sink.publish([WakeUp(queue, ADVANCE, saga_id) for saga_id, queue in turned])
