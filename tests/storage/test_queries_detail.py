"""One saga with its steps, undos, attempts and signals."""

from uuid import uuid4

import pytest
from sqlalchemy import Connection, insert

from saga import models
from saga.core.states import SagaStatus, StepState
from saga.errors import SagaNotFound
from saga.storage.queries import BlockedItem, blocked, detail, history
from tests.storage.rows import Rows

READY, RUNNING, RETRYING = StepState.READY, StepState.RUNNING, StepState.RETRYING
FAILED, UNKNOWN = StepState.FAILED, StepState.UNKNOWN


def test_undos_stand_where_they_were_asked_for(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    for position in (1, 2):
        rows.step(saga_id, position, name=f"step{position}", compensation=f"undo{position}")
    rows.step(saga_id, 2, undo=True, name="undo2")
    rows.step(saga_id, 3, FAILED, name="step3")
    rows.step(saga_id, 1, undo=True, name="undo1")
    found = detail(connection, saga_id)
    assert [step.name for step in found.steps] == ["step1", "step2", "undo2", "step3", "undo1"]
    assert [step.name for step in found.undos] == ["undo2", "undo1"]
    assert [step.name for step in found.forward] == ["step1", "step2", "step3"]


def test_attempts_are_folded_from_history(connection: Connection, rows: Rows) -> None:
    worker = rows.worker("host:7", "stock")
    saga_id = rows.saga()
    path = [READY, RUNNING, RETRYING, READY, RUNNING, UNKNOWN, RUNNING]
    rows.step(saga_id, 1, path=path, worker=worker)
    step = detail(connection, saga_id).steps[0]
    assert [(a.number, a.worker, a.outcome) for a in step.attempts] == [
        (1, "host:7", "retrying"),
        (2, "host:7", "unknown"),
        (3, "host:7", None),
    ]
    assert step.worker == "host:7"
    assert all(a.ended_at is not None for a in step.attempts[:2])


def test_a_late_result_is_shown_with_its_attempt(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga()
    rows.step(saga_id, 1, path=[READY, RUNNING, UNKNOWN, RUNNING, StepState.SUCCEEDED])
    late = {
        "position": 1,
        "undo": False,
        "after": "rejected",
        "attempt": 1,
        "reason": "late result",
    }
    connection.execute(insert(models.history).values(saga_id=saga_id, seq=99, **late))
    first, second = detail(connection, saga_id).steps[0].attempts
    assert (first.outcome, first.rejected) == ("unknown", "late result")
    assert (second.outcome, second.rejected) == ("succeeded", None)


def test_children_parents_and_signals(connection: Connection, rows: Rows) -> None:
    parent = rows.saga("parent")
    rows.step(parent, 1, StepState.WAITING, kind="child", name="child")
    child = rows.saga("child", SagaStatus.COMPLETED, parent_id=parent, parent_position=1)
    signal = {"event": 1, "name": "paid", "payload": {"sum": 3}, "dedup_id": "d", "sender": "bank"}
    connection.execute(insert(models.signal).values(saga_id=child, **signal))
    found = detail(connection, parent)
    step = found.steps[0].child
    assert step is not None
    assert (step.id, step.name, step.status) == (child, "child", SagaStatus.COMPLETED)
    below = detail(connection, child)
    assert below.parent is not None
    assert below.parent.id == parent
    assert [(s.name, s.payload, s.sender) for s in below.signals] == [("paid", {"sum": 3}, "bank")]


def test_no_such_saga(connection: Connection) -> None:
    with pytest.raises(SagaNotFound):
        detail(connection, uuid4())
    assert history(connection, uuid4()) == ()


def test_history_is_told_in_order_with_names(connection: Connection, rows: Rows) -> None:
    worker = rows.worker("host:7")
    saga_id = rows.saga(status=SagaStatus.COMPENSATING)
    rows.step(saga_id, 1, FAILED, worker=worker, reason="KeyError: 'x'")
    rows.step(saga_id, 2, kind="approval", name="big", actor="ann", reason="fine")
    told = history(connection, saga_id)
    assert [row.seq for row in told] == list(range(1, len(told) + 1))
    assert [(row.position, row.name, row.before, row.after) for row in told] == [
        (None, None, None, "running"),
        (None, None, "running", "compensating"),
        (1, "reserve", None, "ready"),
        (1, "reserve", "ready", "running"),
        (1, "reserve", "running", "failed"),
        (2, "big", None, "waiting"),
        (2, "big", "waiting", "succeeded"),
    ]
    assert (told[-1].actor, told[-1].reason) == ("ann", "fine")


def test_blocked_items_say_why_and_since_when(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga("order", SagaStatus.PARTLY_COMPENSATED)
    rows.step(saga_id, 1, compensation="release")
    error = {"type": "SMTPError", "message": "no such box"}
    rows.step(
        saga_id,
        1,
        StepState.BLOCKED,
        undo=True,
        name="release",
        error=error,
        reason="SMTPError",
        args={"item": "a"},
    )
    other = rows.saga("other")
    rows.step(other, 1, StepState.BLOCKED, in_doubt=True, name="pay")
    first, second = blocked(connection).rows
    assert (first.saga_id, first.saga_status) == (saga_id, SagaStatus.PARTLY_COMPENSATED)
    assert (first.position, first.undo, first.step) == (1, True, "release")
    assert (first.error, first.reason, first.args) == (error, "SMTPError", {"item": "a"})
    assert first.since is not None
    assert (second.step, second.in_doubt) == ("pay", True)
    assert blocked(connection, other).rows == (second,)


def test_blocked_items_come_in_pages(connection: Connection, rows: Rows) -> None:
    saga_id = rows.saga("order", SagaStatus.PARTLY_COMPENSATED)
    rows.step(saga_id, 1, StepState.BLOCKED)
    rows.step(saga_id, 1, StepState.BLOCKED, undo=True)
    rows.step(saga_id, 2, StepState.BLOCKED, undo=True)
    rows.step(rows.saga("other"), 1, StepState.BLOCKED)
    everything = blocked(connection).rows
    found: list[BlockedItem] = []
    after = None
    for number in range(4):
        page = blocked(connection, limit=1, after=after)
        found += page.rows
        after = page.next
        assert (after is None) == (number == 3)
    assert tuple(found) == everything
