"""Every state of a saga, in a sentence that leaves no doubt."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func

from saga.client.why import verdict
from saga.core.states import SagaStatus, StepState
from saga.storage.queries import detail
from tests.storage.rows import Rows

READY, RUNNING, RETRYING = StepState.READY, StepState.RUNNING, StepState.RETRYING
FAILED, UNKNOWN, BLOCKED = StepState.FAILED, StepState.UNKNOWN, StepState.BLOCKED
DECLINED = {"type": "Permanent", "message": "card declined", "step": 3, "name": "charge"}
WHY = "step 3 charge failed (Permanent: card declined)"


def said(rows: Rows, saga_id: UUID) -> str:
    return "\n".join(verdict(detail(rows.connection, saga_id)))


def failing(rows: Rows, status: SagaStatus, **columns: Any) -> UUID:
    """A saga that reserved, wrote a mail and could not charge."""
    columns.setdefault("error", DECLINED)
    saga_id = rows.saga("order", status, **columns)
    rows.step(saga_id, 1, compensation="release")
    rows.step(saga_id, 2, name="mail", compensation="unsend")
    rows.step(saga_id, 3, FAILED, name="charge")
    return saga_id


def test_completed(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.COMPLETED, age=timedelta(minutes=75))
    assert said(rows, saga_id).startswith("Completed after 1 h 15 min:")


def test_failed_with_nothing_to_undo(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.FAILED, error={**DECLINED, "step": 1})
    rows.step(saga_id, 1, FAILED, name="charge")
    why = "step 1 charge failed (Permanent: card declined)"
    assert said(rows, saga_id) == f"Failed: {why}. There was nothing to undo."


def test_failed_in_its_own_code(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.FAILED, error={"type": "KeyError", "message": "'x'"})
    assert said(rows, saga_id).startswith("Failed: its code failed (KeyError: 'x').")


def test_compensated(rows: Rows) -> None:
    saga_id = failing(rows, SagaStatus.COMPENSATED)
    rows.step(saga_id, 2, undo=True, name="unsend")
    rows.step(saga_id, 1, undo=True, name="release")
    undone = "2 steps were undone (2 and 1), nothing of it stands."
    assert said(rows, saga_id) == f"Compensated: {WHY}. {undone}"


def test_partly_compensated_says_which_is_blocked_or_skipped(rows: Rows) -> None:
    saga_id = failing(rows, SagaStatus.PARTLY_COMPENSATED)
    locked = {"type": "Locked", "message": "the shelf"}
    rows.step(saga_id, 2, undo=True, name="unsend", state=BLOCKED, error=locked)
    skipped = [READY, RUNNING, BLOCKED, StepState.SKIPPED]
    rows.step(saga_id, 1, undo=True, name="release", path=skipped, actor="ann", reason="too late")
    assert said(rows, saga_id).splitlines() == [
        f"Partly compensated: {WHY}. Nothing was undone; what follows still stands:",
        "- step 2 mail: its undo unsend is blocked: Locked: the shelf",
        "- step 1 reserve: its undo release is skipped: too late",
    ]


def test_cancelled(rows: Rows) -> None:
    cause = {"error": {"type": "Cancelled", "message": "sold out"}, "undo_cause": "cancel"}
    saga_id = failing(rows, SagaStatus.CANCELLED, **cause)
    rows.step(saga_id, 2, undo=True, name="unsend")
    undone = "1 step was undone (2); nothing of it stands."
    assert said(rows, saga_id) == f"Cancelled: on request (sold out). {undone}"


def test_cancelled_before_anything_happened(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.CANCELLED, undo_cause="cancel")
    assert said(rows, saga_id) == (
        "Cancelled: on request (no reason given). There was nothing to undo; nothing of it stands."
    )


def test_an_outcome_in_doubt_is_never_hidden(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.FAILED, error=DECLINED)
    rows.step(saga_id, 3, path=[READY, RUNNING, UNKNOWN, FAILED], name="charge", in_doubt=True)
    assert said(rows, saga_id).endswith("Nobody knows whether step 3 charge had an effect.")
    rows.step(saga_id, 3, undo=True, name="refund")
    assert "Nobody knows" not in said(rows, saga_id)


def test_an_undo_that_did_not_know_what_to_undo(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.COMPENSATED, error=DECLINED)
    rows.step(saga_id, 3, path=[READY, RUNNING, UNKNOWN, FAILED], name="charge", in_doubt=True)
    rows.step(saga_id, 3, undo=True, name="refund", in_doubt=True)
    last = said(rows, saga_id).splitlines()[-1]
    assert last == "undo of step 3 (refund): done without knowing the step's result."


def test_parked_with_the_difference(rows: Rows) -> None:
    saga_id = rows.saga(status=SagaStatus.PARKED, note="position 2\n- history: mail\n+ code: fax")
    first, *difference = said(rows, saga_id).splitlines()
    assert first.startswith("Parked: the saga's code does not fit its history.")
    assert difference == ["position 2", "- history: mail", "+ code: fax"]


def test_compensating(rows: Rows) -> None:
    saga_id = failing(rows, SagaStatus.COMPENSATING)
    rows.step(saga_id, 2, undo=True, name="unsend", state=BLOCKED)
    rows.step(saga_id, 1, undo=True, name="release", path=[READY, RUNNING])
    assert said(rows, saga_id).startswith(
        f"Compensating: {WHY}. 0 undos done, undo of step 1 (release) runs for "
    )
    assert said(rows, saga_id).endswith("and undo of step 2 (unsend) is blocked.")


SOON = func.now() + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"path": [READY, RUNNING]}, "step 1 reserve runs for "),
        ({"state": READY}, "for a worker on queue stock."),
        ({"state": RETRYING, "due_at": SOON}, "step 1 reserve next attempt in 1 min "),
        (
            {"path": [READY, RUNNING, UNKNOWN], "due_at": SOON},
            "its outcome is unknown; it is looked ",
        ),
        ({"state": BLOCKED}, "step 1 reserve a person must decide"),
        ({"kind": "timer", "name": "sleep", "due_at": SOON}, "timer 1 sleeps until 2"),
        ({"kind": "signal", "name": "paid"}, "signal 1 paid waits for a signal."),
        ({"kind": "approval", "name": "big", "due_at": SOON}, "waits for an answer until 2"),
        ({"kind": "child", "name": "sub"}, "child 1 sub its child starts"),
    ],
    ids=[
        "running",
        "ready",
        "retrying",
        "unknown",
        "blocked",
        "timer",
        "signal",
        "approval",
        "child",
    ],
)
def test_running_says_what_it_waits_for(rows: Rows, step: dict[str, Any], words: str) -> None:
    saga_id = rows.saga()
    given: dict[str, Any] = {"state": StepState.WAITING, **step}
    rows.step(saga_id, 1, **given)
    assert said(rows, saga_id).startswith("Running: ")
    assert words in said(rows, saga_id)


def test_running_with_nothing_asked_for(rows: Rows) -> None:
    saga_id = rows.saga(note="no saga is named 'order'")
    assert said(rows, saga_id) == (
        "Running: a worker on queue sagas decides what comes next. no saga is named 'order'"
    )


def test_a_crowd_is_counted(rows: Rows) -> None:
    saga_id = rows.saga()
    for position in range(1, 9):
        rows.step(saga_id, position, READY)
    assert said(rows, saga_id).endswith(", and 3 more.")
