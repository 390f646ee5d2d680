"""Taking failures back, so that a saga goes on from where it failed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saga.core.rows import StepRow
from saga.core.states import BEGUN, StepState
from saga.core.undo.plan import is_open, is_passed_pivot


def failed_position(error: str | None) -> int | None:
    """The position of the step that a saga's error (JSON) comes from; None: from its code."""
    found: Any = json.loads(error) if error else None
    position = found.get("step") if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return position if isinstance(position, int) else None


def went_on_after(rows: Sequence[StepRow], event: int) -> bool:
    """Whether the code has asked for anything since it saw this event."""
    return any(row.after >= event for row in rows)


def failures_to_take_back(rows: Sequence[StepRow], position: int) -> list[StepRow]:
    """The failed step at `position` and those that failed after it: the code has not seen the
    journal without them since. Empty if there is no failure to take back, or the code went on.
    """
    first = next((row for row in rows if _has_failed(row) and row.position == position), None)
    if first is None or first.event is None or went_on_after(rows, first.event):
        return []
    since = first.event
    return [row for row in rows if _has_failed(row) and (row.event or 0) >= since]


@dataclass(frozen=True, slots=True)
class PivotHold:
    """Why a saga whose code has failed does not turn round.

    `block`: these steps wait for a person instead of having failed; with none, `wait` says that a
    pivot is at it, whose outcome decides; else only other code can help, and `why` tells.
    """

    block: tuple[StepRow, ...] = ()
    wait: bool = False
    why: str = ""


def pivot_hold(rows: Sequence[StepRow], error: str) -> PivotHold | None:
    """What a failure means when a pivot has succeeded, or may have; None: nothing special."""
    passed = next((row for row in rows if is_passed_pivot(row)), None)
    if passed is not None:
        return _hold(rows, passed, failed_position(error), error)
    if pivot_under_way(rows) is not None:
        return PivotHold(wait=True)
    doubtful = next((row for row in rows if _may_have_passed(row)), None)
    return None if doubtful is None else _hold(rows, doubtful, doubtful.position, error)


def _hold(rows: Sequence[StepRow], pivot: StepRow, position: int | None, error: str) -> PivotHold:
    block = failures_to_take_back(rows, position) if position is not None else []
    if block:
        return PivotHold(tuple(block))
    return PivotHold(why=_explained(pivot, json.loads(error), position))


def pivot_under_way(rows: Sequence[StepRow]) -> StepRow | None:
    """A pivot that has begun and may turn out to have succeeded."""
    return next((row for row in rows if _may_pass(row)), None)


def _has_failed(row: StepRow) -> bool:
    return (
        not row.undo
        and row.intent.kind in ("step", "child")
        and row.state == StepState.FAILED
        and row.event is not None
    )


def _may_have_passed(row: StepRow) -> bool:
    """A pivot that was given up, and nobody knows whether it succeeded: neither way is safe."""
    return row.intent.pivot and row.in_doubt and _has_failed(row)


def _may_pass(row: StepRow) -> bool:
    if not (row.intent.pivot and is_open(row)):
        return False
    return row.in_doubt or row.state in BEGUN


def _explained(pivot: StepRow, error: dict[str, Any], position: int | None) -> str:
    what = f"{error.get('type', 'an error')}: {error.get('message', '')}"
    cause = (
        f"its code raised {what}"
        if position is None
        else f"step {position} failed ({what}) and its code went on before it gave up"
    )
    passed = "past" if pivot.state == StepState.SUCCEEDED else "perhaps past"
    return (
        f"{passed} its pivot {pivot.intent.name} (step {pivot.position}) the saga only goes "
        f"forward, and {cause}. It goes on when a worker's code can; or undo by hand what came "
        "after the pivot"
    )
