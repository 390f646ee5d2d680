"""Why a saga is not running: one plain answer for each thing that it can wait for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func

from saga.client.why_not import Answer, why_not
from saga.core.states import SagaStatus, StepState
from saga.storage.queries import standstill
from tests.cli.commands import run
from tests.storage.rows import Rows

READY, RUNNING, RETRYING = StepState.READY, StepState.RUNNING, StepState.RETRYING
WAITING, BLOCKED, UNKNOWN = StepState.WAITING, StepState.BLOCKED, StepState.UNKNOWN
SOON = func.now() + timedelta(seconds=90)
CODE = ["saga order version 1", "step reserve"]


def asked(rows: Rows, saga_id: UUID) -> Answer:
    return why_not(standstill(rows.connection, saga_id))


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (
            {"state": WAITING, "kind": "approval", "name": "big", "deadline": SOON},
            "approval",
            "It waits for an approval: big (position 1) until 2",
        ),
        (
            {"state": WAITING, "kind": "signal", "name": "paid"},
            "signal",
            "It waits for a signal: paid (position 1), without a deadline.",
        ),
        ({"state": WAITING, "kind": "timer", "name": "sleep", "due_at": SOON}, "timer", "until 2"),
        (
            {"path": [READY, RUNNING, RETRYING], "due_at": SOON, "reason": "SMTPError: 450"},
            "retry",
            "(in 1 min 30 s), after attempt 1 failed: SMTPError: 450.",
        ),
        ({"state": BLOCKED, "error": {"type": "E", "message": "x"}}, "blocked", "blocked (E: x)"),
        ({"state": READY, "queue": "attic"}, "no_worker", "no live worker serves queue attic."),
        ({"state": READY, "name": "fax"}, "no_code", "none of 1 live worker on queue stock has"),
        ({"state": READY}, "slot", "free slot on queue stock, which 1 live worker serves."),
        ({"path": [READY, RUNNING, UNKNOWN], "due_at": SOON}, "unknown", "it is looked into in 1"),
        ({"path": [READY, RUNNING]}, "lease", "worker host:1 holds its lease since 2"),
        (
            {"state": WAITING, "kind": "child", "name": "sub"},
            "child",
            "Its child sub (position 1) starts.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_step_is_what_it_waits_for(
    rows: Rows, step: dict[str, Any], kind: str, words: str
) -> None:
    worker = rows.worker("host:1", "sagas", "stock", code=CODE)
    saga_id = rows.saga()
    rows.step(saga_id, 1, worker=worker, **step)
    answer = asked(rows, saga_id)
    assert words in answer.answer
    assert [(reason.kind, reason.position) for reason in answer.reasons] == [(kind, 1)]


def test_nobody_decides(rows: Rows) -> None:
    saga_id = rows.saga(version=3)
    assert asked(rows, saga_id).answer == (
        "No live worker serves queue sagas, on which its code runs."
    )
    rows.worker("host:1", "sagas", code=["saga order version 2", "saga order version 10"])
    assert asked(rows, saga_id).answer == (
        "Version 3 of order has no worker: of 1 live worker on queue sagas, they have 2 and 10."
    )
    rows.worker("host:2", "sagas", code=["saga order version 3"])
    assert asked(rows, saga_id).reasons[0].kind == "deciding"


def test_what_will_hold_it_up_is_told_before(rows: Rows) -> None:
    """It waits for a person now, and its answer would come to nobody."""
    rows.worker("host:1", "sagas", code=["saga order version 2"])
    saga_id = rows.saga()
    rows.step(saga_id, 1, WAITING, kind="approval", name="big")
    assert [reason.kind for reason in asked(rows, saga_id).reasons] == ["no_version", "approval"]


def test_a_lease_whose_worker_is_gone(rows: Rows) -> None:
    late = func.now() - timedelta(seconds=5)
    worker = rows.worker("host:1", "sagas", "stock", code=CODE, lease_until=late)
    saga_id = rows.saga()
    rows.step(saga_id, 1, path=[READY, RUNNING], worker=worker)
    assert "gives no sign of life, so another one takes over" in asked(rows, saga_id).answer


def test_a_child_says_what_it_waits_for_itself(rows: Rows) -> None:
    rows.worker("host:1", "sagas", code=[*CODE, "saga parcel version 1"])
    parent = rows.saga()
    rows.step(parent, 1, WAITING, kind="child", name="parcel")
    child = rows.saga("parcel", parent_id=parent, parent_position=1)
    rows.step(child, 1, WAITING, kind="signal", name="paid")
    answer = asked(rows, parent)
    assert answer.reasons[0].child == child
    assert answer.answer == (
        f"Its child parcel {child} runs (running): It waits for a signal: paid (position 1), "
        "without a deadline."
    )


def test_parked_and_ended(rows: Rows) -> None:
    parked = rows.saga(status=SagaStatus.PARKED, note="position 2\n- mail\n+ fax")
    assert asked(rows, parked).answer == "It is parked: position 2 - mail + fax."
    ended = rows.saga(status=SagaStatus.COMPLETED)
    assert asked(rows, ended).answer.startswith("It has ended. Completed after ")


def test_the_command(rows: Rows, database_url: str) -> None:
    saga_id = rows.saga(key="o-1")
    rows.step(saga_id, 2, WAITING, kind="approval", name="big")
    rows.worker("host:1", "sagas", code=CODE)
    told = run("why", "o-1", "--json", SAGA_DATABASE_URL=database_url).json
    assert (told["id"], told["status"]) == (str(saga_id), "running")
    assert told["reasons"][0]["kind"] == "approval"
    shown = run("why", "o-1", SAGA_DATABASE_URL=database_url).stdout.splitlines()
    assert shown[0] == told["answer"]
    assert f"  saga approve {saga_id} 2" in shown
    assert [f"  {line}" for line in told["commands"]] == shown[2:]
