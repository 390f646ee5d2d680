"""A person's decision on a blocked step or undo."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from saga.core.codec import encode, parse
from saga.core.declare.registry import registry
from saga.core.rows import StepRow, child_id
from saga.core.schema_check import check_value
from saga.core.states import ENDED, FORWARD, SagaStatus, StepState
from saga.errors import Conflict, InvalidInput, UnknownStep
from saga.storage.hot.rows import Move
from saga.storage.hot.store import Store
from saga.storage.turning import by_hand
from saga.storage.turning import children as child_rows
from saga.storage.turning.by_hand import Held
from saga.wakeups.message import ADVANCE, WakeUp


@dataclass(frozen=True, slots=True)
class Resolution:
    """What somebody decided. `undo` None: whichever of step and undo is blocked."""

    position: int
    action: Literal["retry", "skip", "done"]
    undo: bool | None
    result: Any
    reason: str | None

    def check(self) -> None:
        """Raises InvalidInput."""
        if self.action not in ("retry", "skip", "done"):
            raise InvalidInput(f"action: retry, skip or done, not {str(self.action)[:40]!r}")
        if self.action == "skip" and not self.reason:
            raise InvalidInput("reason: say why it is skipped")
        if self.action != "done" and self.result is not None:
            raise InvalidInput("result: only for what is done")


def resolve(
    connection: psycopg.Connection, held: Held, wanted: Resolution, actor: str, due_in: float
) -> list[WakeUp]:
    """Carries a decision out; returns whom to wake. Raises Conflict, InvalidInput."""
    row = _blocked(Store(connection).load_steps(held.id), held, wanted)
    match wanted.action:
        case "retry":
            wakeups = _retry(connection, held, row, actor, wanted.reason, due_in)
        case "skip":
            error = _skipped(row, wanted.reason or "")
            wakeups = _settle(connection, held, row, "skipped", actor, wanted.reason, error=error)
        case "done":
            result = _result(connection, row, wanted.result)
            wakeups = _settle(connection, held, row, "succeeded", actor, wanted.reason, result)
    if _decides_anew(held, row, wanted):
        reopened = child_rows.reopen(connection, [held.id], actor, wanted.reason)
        wakeups += [WakeUp(queue, ADVANCE, saga_id) for saga_id, queue in reopened]
    return wakeups


def _blocked(rows: list[StepRow], held: Held, wanted: Resolution) -> StepRow:
    """The one row that the decision is about."""
    here = [
        row for row in rows if row.position == wanted.position and wanted.undo in (None, row.undo)
    ]
    found = [row for row in here if row.state == StepState.BLOCKED]
    if len(found) > 1:
        raise InvalidInput(
            f"position {wanted.position}: both the step and its undo are blocked: say which"
        )
    if found:
        return found[0]
    if not here:
        raise InvalidInput(f"position {wanted.position}: saga {held.id} has nothing there")
    told = " and ".join(f"{_what(row)} is {row.state}" for row in here)
    raise Conflict(f"nothing is blocked at position {wanted.position} of saga {held.id}: {told}")


def _retry(
    connection: psycopg.Connection,
    held: Held,
    row: StepRow,
    actor: str,
    reason: str | None,
    due_in: float,
) -> list[WakeUp]:
    forward = held.status in FORWARD
    if not row.undo and not forward:
        raise Conflict(
            f"saga {held.id} is {held.status}: its step {row.position} cannot run any more. Skip "
            "it (it is undone as far as it may have happened), or say that it is done"
        )
    if row.intent.kind == "child":
        return _retry_child(connection, held, row, actor, reason)
    move = Move(row.key, "blocked", "ready", due_in=due_in, fences=True, actor=actor, reason=reason)
    _land(connection, move)
    by_hand.grant_fresh_budget(connection, held.id, row.position, undo=row.undo)
    return [WakeUp.for_step(row.intent.queue or "", row.intent.name, row.key, row.attempt)]


def _retry_child(
    connection: psycopg.Connection, held: Held, row: StepRow, actor: str, reason: str | None
) -> list[WakeUp]:
    """A child's undo: it is told once more. A child that failed: `Operator.retry` of that child is
    refused, as its parent has seen it fail; here the parent has not.
    """
    child = child_id(held.id, row.position)
    if not row.undo:
        raise Conflict(
            f"step {row.position} is the child saga {child}, which has failed and undone itself: "
            "skip it, or say what it should have returned"
        )
    move = Move(row.key, "blocked", "waiting", due_in=1.0, fences=True, actor=actor, reason=reason)
    _land(connection, move)
    told = child_rows.compensate(connection, [child], again=True)
    return [WakeUp(queue, ADVANCE, saga_id) for saga_id, queue in told]


def _settle(
    connection: psycopg.Connection,
    held: Held,
    row: StepRow,
    state: str,
    actor: str,
    reason: str | None,
    result: str | None = None,
    error: str | None = None,
) -> list[WakeUp]:
    _land(
        connection,
        Move(
            row.key,
            "blocked",
            state,
            result=result,
            error=error,
            in_doubt=False if state == "succeeded" else None,
            is_event=True,
            fences=True,
            actor=actor,
            reason=reason,
        ),
    )
    return [] if held.status in ENDED else [WakeUp(held.queue, ADVANCE, held.id)]


def _skipped(row: StepRow, reason: str) -> str:
    """A scope undoes a step that may have happened all the same, as its saga does."""
    error: dict[str, Any] = {"type": "Skipped", "message": reason}
    return json.dumps(error | {"in_doubt": True} if row.in_doubt and not row.undo else error)


def _land(connection: psycopg.Connection, move: Move) -> None:
    if not Store(connection).record([move]):
        raise Conflict(f"position {move.key.position}: it was decided upon by somebody else")


def _decides_anew(held: Held, row: StepRow, wanted: Resolution) -> bool:
    """Whether the end of a partly compensated saga may be another one now."""
    if held.status != SagaStatus.PARTLY_COMPENSATED:
        return False
    return not (row.undo and wanted.action == "skip")


def _result(connection: psycopg.Connection, row: StepRow, value: Any) -> str:
    """What a step would have returned, checked against its type: by its code where that is at hand,
    else by what a worker has announced. A wrong one would park the saga for good.
    """
    text = encode(value, "result")
    if row.undo:
        return "null"
    if value is None and row.result is not None:
        return row.result
    try:
        if row.intent.kind == "step":
            registry.step(row.intent.name).decode_result(text)
    except UnknownStep:
        schema = by_hand.announced_result(connection, row.intent.name)
        if schema is not None:
            check_value("result", schema, parse(text))
    return text


def _what(row: StepRow) -> str:
    return f"the undo of {row.intent.name}" if row.undo else row.intent.name
