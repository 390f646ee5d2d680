"""A saga turns round while something is on its way."""

from uuid import UUID, uuid4

import pytest

from saga import SagaEnded
from saga.core.rows import StepKey
from saga.engine.attempt.work import Outcome
from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.publisher import publisher_for
from tests.operators.code import sagas
from tests.operators.stage import Stage


def test_a_running_step_ends_before_what_came_earlier_is_undone(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("do", "ship")
    stage.worker()
    saga = stage.arena.start(sagas.pair_of_steps, key="one").id
    stage.arena.until(lambda: gate.arrived, "the second step is at it")
    stage.arena.client.cancel(saga, by="bob", reason="enough")
    stage.arena.until(
        lambda: stage.arena.records.query("SELECT 1 FROM saga.saga WHERE applied = events"),
        "it was decided upon",
    )
    assert not stage.arena.ledger.undone
    gate.open()
    assert stage.arena.until_over(saga) == {saga: "cancelled"}
    assert stage.undone(saga) == [2, 1]


def test_a_sibling_that_succeeds_after_the_failure_is_undone(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("do", "ship")
    stage.worker()
    stage.troubles.make("look", "nobody there")
    saga = stage.arena.start(sagas.told_to_look, key="one").id
    stage.arena.until(lambda: gate.arrived, "the sibling is at it")
    stage.arena.client.signal(saga, "look")
    stage.arena.until(lambda: stage.status(saga) == "compensating", "the other fails")
    assert not stage.arena.ledger.undone
    gate.open()
    assert stage.arena.until_over(saga) == {saga: "compensated"}
    assert stage.undone(saga) == [2, 1]


def test_compensation_is_shielded_from_cancel(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("undo", "book")
    saga = stage.start(sagas.order)
    stage.worker()  # whose sweeper soon unseats the stage's
    stage.ann.compensate(saga, reason="a mistake")
    stage.arena.until(lambda: gate.arrived, "the first undo is at it")
    with pytest.raises(SagaEnded, match="cannot be cancelled: it is compensating"):
        stage.arena.client.cancel(saga, by="bob")
    gate.open()
    assert stage.arena.until_over(saga) == {saga: "compensated"}
    assert stage.undone(saga) == [3, 2, 1]


def test_a_step_in_doubt_is_looked_into_before_it_is_undone(stage: Stage) -> None:
    stage.troubles.make("wire", "unknown")
    saga = stage.arena.start(sagas.transfer, key="one").id
    stage.process.advance(saga)
    assert stage.step(saga, 2).state == "unknown"
    stage.arena.client.cancel(saga, by="bob")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.undone(saga) == [2, 1]
    assert len(stage.arena.ledger.asked("find", f"{saga}:2")) == 1


def test_and_not_undone_if_it_did_not_happen(stage: Stage) -> None:
    stage.troubles.make("wire", "unknown_before")
    saga = stage.arena.start(sagas.transfer, key="one").id
    stage.process.advance(saga)
    stage.arena.client.cancel(saga, by="bob")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.undone(saga) == [1]
    assert not stage.arena.ledger.asked("undo", f"{saga}:2:undo")
    assert stage.step(saga, 2, undo=True).state == "succeeded"


def test_a_step_without_a_probe_is_undone_blindly(stage: Stage) -> None:
    stage.troubles.make("ship", "unknown")
    saga = stage.arena.start(sagas.pair_of_steps, key="one").id
    stage.process.advance(saga)
    stage.arena.client.cancel(saga, by="bob")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.undone(saga) == [2, 1]
    assert stage.step(saga, 2, undo=True).in_doubt, "without its result"


def test_a_transactional_step_is_never_in_doubt(stage: Stage) -> None:
    saga = stage.start(sagas.entries, 2)
    assert stage.status(saga) == "completed"
    assert len(stage.arena.entered()) == 2


def lost(stage: Stage, saga: UUID) -> None:
    """The worker that has the second step is taken for dead."""
    stage.arena.take_over(stage.process)


def test_a_late_success_is_undone_with_its_result(stage: Stage) -> None:
    """The step was given up and undone blindly; then its first attempt comes back."""
    saga = stage.arena.start(sagas.pair_of_steps, key="one").id
    work = stage.process.conductor.advance(saga)
    while work is not None and work.key.position == 1:
        work = stage.process._land(work, stage.process._attempt(work), may_go_on=True)
    assert work is not None
    lost(stage, saga)
    stage.arena.client.cancel(saga, by="bob")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.step(saga, 2, undo=True).in_doubt
    stage.settle(work, Outcome("succeeded", '"receipt"'))
    assert [row.reason for row in stage.arena.records.rejected()] == ["late succeeded of attempt 1"]
    stage.run()
    assert stage.status(saga) == "cancelled"
    undo = stage.step(saga, 2, undo=True)
    assert (undo.state, undo.attempt, undo.in_doubt) == ("succeeded", 2, False)
    assert stage.step(saga, 2).state == "failed"
    assert stage.step(saga, 2).result == "receipt"
    stage.settle(work, Outcome("succeeded", '"receipt"'))
    assert stage.status(saga) == "cancelled", "once is enough"


def test_a_late_success_of_a_step_that_was_tried_again_is_rejected(stage: Stage) -> None:
    saga = stage.arena.start(sagas.pair_of_steps, key="one").id
    work = stage.process.conductor.advance(saga)
    assert work is not None
    lost(stage, saga)
    stage.run()
    assert stage.status(saga) == "completed"
    stage.settle(work, Outcome("succeeded", '"another"'))
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.step(saga, 1).result != "another"
    assert len(stage.arena.records.rejected()) == 1


def test_a_late_success_of_what_was_taken_for_none_is_undone(stage: Stage) -> None:
    """A probe found nothing, the step was dropped; then its first attempt comes back."""
    stage.troubles.make("look", "nobody there")
    saga = stage.arena.start(sagas.transfer, key="one").id
    work = stage.process.conductor.advance(saga)
    while work is not None and work.key.position == 1:
        work = stage.process._land(work, stage.process._attempt(work), may_go_on=True)
    assert work is not None
    lost(stage, saga)
    stage.troubles.make("wire", "give_up")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [1]
    assert (stage.step(saga, 2).state, stage.step(saga, 2).in_doubt) == ("failed", False)
    stage.troubles.end("wire")
    stage.settle(work, Outcome("succeeded", '"receipt"'))
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.step(saga, 2, undo=True).state == "succeeded"


@pytest.mark.parametrize("ended", [False, True], ids=["on its way", "completed"])
def test_a_late_success_of_what_a_scope_undid_is_undone_again(stage: Stage, ended: bool) -> None:
    stage.troubles.make("ship", "unknown_before")
    saga = stage.arena.start(sagas.wary, key="one").id
    work = stage.process.conductor.advance(saga)
    assert work is not None
    lost(stage, saga)
    stage.run()
    assert stage.states(saga) == ["ship failed", "unship succeeded", "go waiting"]
    if ended:
        stage.arena.client.signal(saga, "go")
        stage.run()
    stage.arena.ledger.void.clear()  # one that does not remember what it has not seen
    stage.arena.ledger.ask("do", "ship", work.idempotency_key, work.attempt)
    stage.settle(work, Outcome("succeeded", '"receipt"'))
    stage.run()
    assert stage.undone(saga) == [1]
    assert not stage.step(saga, 1, undo=True).in_doubt
    if not ended:
        stage.arena.client.signal(saga, "go")
        stage.run()
    assert stage.status(saga) == "completed"


def test_what_is_unknown_is_not_tried_again_before_its_time(stage: Stage) -> None:
    """However often it is woken."""
    stage.troubles.make("ship", "unknown_for_long")
    saga = stage.arena.start(sagas.wary, key="one").id
    stage.process.advance(saga)
    ship = StepKey(saga, 1, undo=False)
    for _ in range(3):
        stage.process.run_step("ship", ship)
    stage.sweeper.sweep()
    assert (stage.step(saga, 1).state, stage.step(saga, 1).attempt) == ("unknown", 1)
    stage.troubles.end("ship")
    stage.arena.records.query("UPDATE saga.step SET due_at = now()")
    stage.run()
    assert (stage.step(saga, 1).state, stage.step(saga, 1).attempt) == ("succeeded", 2)


def test_what_is_unknown_is_sent_whatever_else_waits(stage: Stage) -> None:
    """Its wake-up is none of those that wait in the broker."""
    stage.troubles.make("ship", "unknown_for_long")
    saga = stage.arena.start(sagas.wary, key="one").id
    stage.process.advance(saga)
    publisher = publisher_for(stage.arena.broker_url)
    publisher.publish([WakeUp("default", ADVANCE, uuid4())] * 10)
    stage.arena.records.query("UPDATE saga.step SET due_at = now()")
    stage.sweeper.sweep()
    assert publisher.length("default") == 11
    publisher.close()
    assert stage.step(saga, 1).state == "unknown"
