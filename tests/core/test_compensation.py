"""Which undos, in which order; and that the preview says the same."""

import random
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from saga.core.intent import Intent
from saga.core.rows import StepRow
from saga.core.states import SagaStatus
from saga.core.undo.plan import EVERYTHING, Choice, may_stand, pivot_floor, plan_undos
from saga.core.undo.preview import preview_undos
from saga.core.undo.reopening import PivotHold, failed_position, failures_to_take_back, pivot_hold

SAGA = UUID(int=7)
ENDS = ("succeeded", "succeeded", "succeeded", "failed", "cancelled", "skipped")
OPEN = ("ready", "retrying", "unknown", "running", "blocked")


def row(
    position: int, state: str = "succeeded", after: int = 0, event: int | None = None
) -> StepRow:
    """A step with an undo."""
    return StepRow(
        SAGA,
        position,
        False,
        Intent("step", f"step {position}", "default", "{}", f"undo {position}", "default"),
        state,
        "1" if state == "succeeded" else None,
        None,
        False,
        after,
        event,
        1,
    )


def intending(step: StepRow, **changes: Any) -> StepRow:
    return step._replace(intent=step.intent._replace(**changes))


def in_a_row(*states: str) -> list[StepRow]:
    """Steps one after the other; one that is open has no event."""
    rows: list[StepRow] = []
    for number, state in enumerate(states, 1):
        event = number if state in ENDS else None
        rows.append(row(number, state, after=number - 1, event=event))
    return rows


def undo_of(step: StepRow, state: str) -> StepRow:
    return step._replace(undo=True, intent=step.intent.undone(), state=state, event=None, after=99)


@st.composite
def histories(draw: st.DrawFn) -> list[StepRow]:
    """Steps that began and ended in some order, as far as they ended."""
    luck = draw(st.randoms(use_true_random=False))
    return _history(luck, draw(st.integers(1, 7)))


def _history(luck: random.Random, count: int) -> list[StepRow]:
    rows: list[StepRow] = []
    event = 0
    open_rows: list[int] = []
    while len(rows) < count or (open_rows and luck.random() < 0.6):
        if len(rows) < count and (not open_rows or luck.random() < 0.5):
            rows.append(row(len(rows) + 1, "running", after=event))
            open_rows.append(len(rows) - 1)
        else:
            index = open_rows.pop(luck.randrange(len(open_rows)))
            event += 1
            state = luck.choice(ENDS)
            in_doubt = state != "succeeded" and luck.random() < 0.4
            pivot = luck.random() < 0.1
            rows[index] = intending(rows[index], pivot=pivot)._replace(
                state=state, event=event, in_doubt=in_doubt
            )
    for index in open_rows:
        state = luck.choice(OPEN)
        rows[index] = rows[index]._replace(state=state, in_doubt=luck.random() < 0.4)
    return [intending(r, compensation=None) if luck.random() < 0.2 else r for r in rows]


def carried_out(
    rows: list[StepRow], luck: random.Random | None, choice: Choice = EVERYTHING
) -> tuple[list[list[int]], SagaStatus]:
    """What happens when the plan is followed: undos succeed, or some are blocked."""
    waves: list[list[int]] = []
    for _ in range(100):
        plan = plan_undos(rows, "failure", choice)
        if plan.verdict is not None:
            return waves, plan.verdict
        dropped = {r.position for r in plan.drop}
        rows = [_moved(r, dropped) for r in rows]
        if plan.ask:
            waves.append(sorted(r.position for r in plan.ask))
        for step in plan.ask:
            state = "blocked" if luck and luck.random() < 0.2 else "succeeded"
            rows = [*rows, undo_of(step, state)]
    raise AssertionError("it never ends")


def _moved(step: StepRow, dropped: set[int]) -> StepRow:
    if not step.undo and step.position in dropped:
        in_doubt = step.in_doubt or step.state == "unknown"
        return step._replace(state="failed" if in_doubt else "cancelled", in_doubt=in_doubt)
    if not step.undo and step.state == "running":
        return step._replace(state="succeeded", event=1000)
    return step


@given(histories(), st.randoms(use_true_random=False))
def test_it_ends_and_undoes_each_effect_once_in_reverse(
    rows: list[StepRow], luck: random.Random
) -> None:
    waves, verdict = carried_out(rows, luck)
    asked = [position for wave in waves for position in wave]
    assert len(asked) == len(set(asked))
    end = [_moved(r, set()) for r in rows]
    wave_of = {position: number for number, wave in enumerate(waves) for position in wave}
    for later in end:
        for earlier in end:
            began_after = earlier.event is not None and later.after >= earlier.event
            if began_after and {later.position, earlier.position} <= wave_of.keys():
                assert wave_of[later.position] < wave_of[earlier.position]
    if verdict in (SagaStatus.COMPENSATED, SagaStatus.FAILED):
        assert {r.position for r in end if may_stand(r)} <= set(asked)


@given(histories(), st.sets(st.integers(1, 7)), st.integers(0, 7))
def test_the_preview_is_what_happens(rows: list[StepRow], only: set[int], since: int) -> None:
    choice = Choice(frozenset(only) or None, since)
    what_runs_has_ended = [_moved(r, set()) for r in rows]
    waves, verdict = carried_out(what_runs_has_ended, None, choice)
    preview = preview_undos(rows, "failure", choice)
    told: dict[int, list[int]] = {}
    for undo in preview.undos:
        told.setdefault(undo.wave, []).append(undo.step.position)
    assert [sorted(told[wave]) for wave in sorted(told)] == waves
    assert preview.verdict == verdict


def test_what_runs_holds_up_what_came_before_it() -> None:
    rows = in_a_row("succeeded", "running")
    assert plan_undos(rows, "cancel").ask == []
    assert plan_undos(rows, "cancel").verdict is None
    ended = [rows[0], rows[1]._replace(state="succeeded", event=2)]
    assert [r.position for r in plan_undos(ended, "cancel").ask] == [2]


def test_a_blocked_undo_holds_up_nothing() -> None:
    rows = in_a_row("succeeded", "succeeded")
    plan = plan_undos([*rows, undo_of(rows[1], "blocked")], "failure")
    assert [r.position for r in plan.ask] == [1]
    done = [*rows, undo_of(rows[1], "blocked"), undo_of(rows[0], "succeeded")]
    assert plan_undos(done, "failure").verdict == SagaStatus.PARTLY_COMPENSATED


def test_verdicts() -> None:
    nothing = in_a_row("failed")
    assert plan_undos(nothing, "failure").verdict == SagaStatus.FAILED
    assert plan_undos(nothing, "cancel").verdict == SagaStatus.CANCELLED
    assert plan_undos(nothing, "parent").verdict == SagaStatus.COMPENSATED
    one = in_a_row("succeeded")
    undone = [*one, undo_of(one[0], "succeeded")]
    assert plan_undos(undone, "failure").verdict == SagaStatus.COMPENSATED
    assert plan_undos(undone, "cancel").verdict == SagaStatus.CANCELLED


def test_nothing_from_before_a_pivot() -> None:
    rows = in_a_row("succeeded", "succeeded", "succeeded")
    rows[1] = intending(rows[1], pivot=True, compensation=None)
    assert pivot_floor(rows) == 2
    assert [r.position for r in plan_undos(rows, "operator").ask] == [3]


def failed(position: int, after: int, event: int) -> StepRow:
    return row(position, "failed", after, event)


ERROR = '{"type": "ValueError", "message": "no", "step": 3}'


def test_where_an_error_comes_from() -> None:
    assert failed_position(ERROR) == 3
    assert failed_position('{"type": "ValueError", "message": "no"}') is None
    assert failed_position(None) is None


def test_failures_that_can_be_taken_back() -> None:
    rows = [*in_a_row("succeeded", "succeeded"), failed(3, 2, 3), failed(4, 2, 4)]
    assert [r.position for r in failures_to_take_back(rows, 3)] == [3, 4]
    assert failures_to_take_back(rows, 1) == []
    went_on = [*rows, row(5, "cancelled", after=3)]
    assert failures_to_take_back(went_on, 3) == []


def test_what_a_failure_means_near_a_pivot() -> None:
    rows = [*in_a_row("succeeded", "succeeded"), failed(3, 2, 3)]
    assert pivot_hold(rows, ERROR) is None
    pivot = intending(rows[1], pivot=True)
    passed = [rows[0], pivot, rows[2]]
    assert pivot_hold(passed, ERROR) == PivotHold(block=(rows[2],))
    under_way = [rows[0], pivot._replace(state="unknown", event=None), rows[2]]
    assert pivot_hold(under_way, ERROR) == PivotHold(wait=True)
    waiting = [rows[0], pivot._replace(state="ready", event=None), rows[2]]
    assert pivot_hold(waiting, ERROR) is None, "it is dropped before it begins"
    doubtful = [rows[0], intending(failed(2, 1, 2), pivot=True)._replace(in_doubt=True)]
    assert pivot_hold(doubtful, ERROR) == PivotHold(block=(doubtful[1],)), "neither way is safe"
    hold = pivot_hold(passed, '{"type": "KeyError", "message": "x"}')
    assert hold is not None
    assert "its code raised KeyError: x" in hold.why


def test_a_child_is_undone_in_its_place() -> None:
    child = intending(row(2), kind="child", compensation=None)._replace(after=1, event=2)
    rows = [row(1, after=0, event=1), child, row(3, after=2, event=3)]
    assert [r.position for r in plan_undos(rows, "failure").ask] == [3]
    waves, verdict = carried_out(rows, None)
    assert (waves, verdict) == ([[3], [2], [1]], SagaStatus.COMPENSATED)
