"""Which undos, in which order: decided from the steps alone, without the saga's code.

Undone is every step that started and is not known to have had no effect, in reverse order of start.
Two steps that overlapped in time may be undone at once. What needs a person does not hold up the
rest: a blocked undo, or a blocked step of which nobody knows whether it happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from saga.core.rows import StepRow
from saga.core.states import OPEN, RESULTLESS, SagaStatus, StepState

_LEFT_STANDING = (StepState.SKIPPED, StepState.BLOCKED, StepState.FAILED)
_FINISHED_UNDO = (StepState.SUCCEEDED, *_LEFT_STANDING)


@dataclass(frozen=True, slots=True)
class Choice:
    """The steps that an operator wants undone: those of `only` (None: all) from `since` on."""

    only: frozenset[int] | None = None
    since: int = 0

    def __contains__(self, position: int) -> bool:
        return position >= self.since and (self.only is None or position in self.only)


EVERYTHING = Choice()


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What to do next: `drop` these steps, `recall` these children, `ask` for the undo of these,
    or end with `verdict`.
    """

    drop: list[StepRow] = field(default_factory=list[StepRow])
    recall: list[StepRow] = field(default_factory=list[StepRow])
    ask: list[StepRow] = field(default_factory=list[StepRow])
    verdict: SagaStatus | None = None


def plan_undos(rows: Iterable[StepRow], cause: str, choice: Choice = EVERYTHING) -> UndoPlan:
    """The next moves of a saga that compensates because of `cause` (failure, cancel, operator or
    parent).
    """
    rows = list(rows)
    open_rows = [row for row in rows if is_open(row)]
    recall = [row for row in open_rows if row.intent.kind == "child"]
    drop = [row for row in open_rows if _can_be_dropped(row)]
    if drop:
        return UndoPlan(drop, recall)
    undos = {row.position: row for row in rows if row.undo}
    standing = undoable_steps(rows)
    undoable = [row for row in standing if row.position in choice]
    busy = [row for row in open_rows if row.state != StepState.BLOCKED]
    open_undos = [row for row in undos.values() if row.state not in _FINISHED_UNDO]
    unfinished = {row.position for row in open_undos}
    left = [row for row in undoable if row.position not in undos or row.position in unfinished]
    if not (left or busy or open_undos):
        return UndoPlan(verdict=_verdict(rows, undos, cause))
    # What is not over holds up the undo of what had settled before it began.
    began = max((row.after for row in (*left, *busy)), default=-1)
    ask = [
        row
        for row in left
        if row.position not in undos and (row.event is None or row.event > began)
    ]
    return UndoPlan(recall=recall, ask=ask)


def is_open(row: StepRow) -> bool:
    """Whether a forward step may still run or settle."""
    return not row.undo and row.state in OPEN


def undoable_steps(rows: Sequence[StepRow]) -> list[StepRow]:
    """The settled steps whose effect stands or may stand and can be undone, latest start first;
    none from before a pivot.
    """
    floor = pivot_floor(rows)
    return sorted(
        (row for row in rows if may_stand(row) and row.after >= floor),
        key=lambda row: row.position,
        reverse=True,
    )


def pivot_floor(rows: Iterable[StepRow]) -> int:
    """The event of the last pivot that succeeded: what was asked for before it stays as it is."""
    return max((row.event or 0 for row in rows if is_passed_pivot(row)), default=-1)


def is_passed_pivot(row: StepRow) -> bool:
    """A pivot that succeeded: its saga only goes forward."""
    return row.intent.pivot and not row.undo and row.state == StepState.SUCCEEDED


def may_stand(row: StepRow) -> bool:
    """Whether a settled step has, or may have, an effect that its undo would take back.

    A child that failed has undone itself, unless something of it is in doubt; one that completed
    may have done nothing.
    """
    if row.undo or not row.intent.has_undo:
        return False
    return row.state == StepState.SUCCEEDED or (row.in_doubt and row.state in RESULTLESS)


def dropped_state(row: StepRow) -> StepState:
    """What becomes of an open step that nobody waits for: cancelled if it is known to have had no
    effect; else failed, and in doubt, so that it is undone.
    """
    in_doubt = row.in_doubt or row.state == StepState.UNKNOWN
    return StepState.FAILED if in_doubt else StepState.CANCELLED


def _can_be_dropped(row: StepRow) -> bool:
    """Not what runs, which goes on to its end; not a child, which has to undo itself; and not what
    a person has to decide on.
    """
    if row.state == StepState.BLOCKED:
        return not row.in_doubt
    return row.intent.kind != "child" and row.state != StepState.RUNNING


def _verdict(rows: list[StepRow], undos: dict[int, StepRow], cause: str) -> SagaStatus:
    left = [
        row
        for row in rows
        if (row.undo and row.state in _LEFT_STANDING)
        or (is_open(row) and row.state == StepState.BLOCKED)
        or (may_stand(row) and row.position not in undos)
    ]
    if left:
        return SagaStatus.PARTLY_COMPENSATED
    if cause == "cancel":
        return SagaStatus.CANCELLED
    # A scope asks for the undo of a child before anybody knows whether there is anything to undo.
    has_undone = any(not row.undo and row.position in undos and row.intent.has_undo for row in rows)
    return SagaStatus.FAILED if cause == "failure" and not has_undone else SagaStatus.COMPENSATED
