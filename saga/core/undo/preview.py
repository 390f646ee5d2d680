"""What a compensation would do, without doing it: the plan, played through to its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from saga.core.rows import StepRow
from saga.core.states import SagaStatus, StepState
from saga.core.undo.plan import (
    EVERYTHING,
    Choice,
    dropped_state,
    is_open,
    is_passed_pivot,
    may_stand,
    pivot_floor,
    plan_undos,
)

_LATER = 2**31  # an event after all that there are


@dataclass(frozen=True, slots=True)
class PlannedUndo:
    """An undo that would run. `wave`: from 1; those of one wave may run at once.

    `provisional`: the step still runs; it is undone unless it turns out to have had no effect.
    """

    step: StepRow
    wave: int
    provisional: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be undone, in order; what stands all the same, and why; and how it would end, if
    every undo succeeds. `refused`: why nothing would be done at all; the saga then stays as it is.
    """

    undos: tuple[PlannedUndo, ...]
    stands: tuple[tuple[StepRow, str], ...]
    verdict: SagaStatus
    refused: str | None = None


def preview_undos(rows: Sequence[StepRow], cause: str, choice: Choice = EVERYTHING) -> Preview:
    """Plays `plan_undos` through, with running steps that succeed before anything is undone, and
    undos that succeed. What runs longer is undone when it has ended, later than its wave says.
    """
    running = {row.position for row in rows if is_open(row) and _goes_on(row)}
    played = [_ended(row) for row in rows]
    planned: list[PlannedUndo] = []
    wave = 0
    while True:
        plan = plan_undos(played, cause, choice)
        if plan.verdict is not None:
            stands = [(row, why) for row in rows if (why := _why_not(row, played, choice))]
            return Preview(tuple(planned), tuple(stands), plan.verdict)
        wave += 1
        planned += [PlannedUndo(row, wave, row.position in running) for row in plan.ask]
        played += [
            row._replace(undo=True, state=StepState.SUCCEEDED, intent=row.intent.undone())
            for row in plan.ask
        ]


def _goes_on(row: StepRow) -> bool:
    """It cannot be dropped: it has begun."""
    return row.intent.kind == "child" or row.state == StepState.RUNNING


def _ended(row: StepRow) -> StepRow:
    """A row as it will be when the undos run."""
    if row.undo:
        over = row.state in (StepState.SUCCEEDED, StepState.BLOCKED, StepState.SKIPPED)
        return row if over else row._replace(state=StepState.SUCCEEDED)
    if not is_open(row) or (row.state == StepState.BLOCKED and row.in_doubt):
        return row
    if _goes_on(row):
        return row._replace(state=StepState.SUCCEEDED, event=_LATER)
    state = dropped_state(row)
    return row._replace(state=state, in_doubt=state == StepState.FAILED)


def _why_not(row: StepRow, played: list[StepRow], choice: Choice) -> str:
    """Why an effect will stand; empty if it will not, or if there is none."""
    if row.undo or row.intent.kind not in ("step", "child") or row.intent.read_only:
        return ""
    undo = next((u for u in played if u.undo and u.position == row.position), None)
    if undo is not None:
        return _LEFT.get(undo.state, "")
    after = next(p for p in played if not p.undo and p.position == row.position)
    if after.state == StepState.BLOCKED:
        return "a person has to decide whether it happened: resolve it"
    undoable = row.intent._replace(compensation=row.intent.compensation or "?")
    if not may_stand(after._replace(intent=undoable)):
        return ""
    reasons = (
        (is_passed_pivot(row), "it is a pivot: past it the saga only goes forward"),
        (row.intent.kind == "step" and row.intent.compensation is None, "it has no compensation"),
        (row.after < pivot_floor(played), "it came before a pivot"),
        (row.position not in choice, "it is not among those chosen"),
    )
    return next((why for holds, why in reasons if holds), "")


_LEFT: dict[str, str] = {
    StepState.BLOCKED: "its undo is blocked: resolve it",
    StepState.SKIPPED: "its undo was skipped",
    StepState.FAILED: "its undo failed",
}
