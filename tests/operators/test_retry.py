"""A saga that failed goes on from where it failed."""

import pytest

from saga import Conflict
from tests.operators.code import sagas
from tests.operators.stage import Stage


def test_it_goes_on_from_the_failed_step(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.crowd, 1)
    assert stage.status(saga) == "failed"
    stage.troubles.end("look")
    stage.ann.retry(saga, reason="it is back")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.step(saga, 1).attempt == sagas.SOON.max_attempts + 1
    assert stage.actors(saga) == [
        ("ann", "running", "it is back"),
    ]


def test_it_may_fail_again_and_be_retried_again(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.crowd, 1)
    for times in (2, 3):
        stage.ann.retry(saga)
        stage.run()
        assert stage.status(saga) == "failed"
        assert stage.step(saga, 1).attempt == times * sagas.SOON.max_attempts
    stage.troubles.end("look")
    stage.ann.retry(saga)
    stage.run()
    assert stage.status(saga) == "completed"


def test_what_had_succeeded_is_not_done_again(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.crowd, 5)
    assert stage.status(saga) == "failed"
    done = len(stage.arena.ledger.applied)
    assert done == 4
    stage.troubles.end("look")
    stage.ann.retry(saga)
    stage.run()
    assert stage.status(saga) == "completed"
    assert len(stage.arena.ledger.asked("do")) == done


def test_what_the_failure_cancelled_comes_back(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.patient, 3600.0)
    assert stage.status(saga) == "failed"
    assert stage.states(saga) == [
        "sleep cancelled",
        "go cancelled",
        "word cancelled",
        "look failed",
    ]
    stage.troubles.end("look")
    stage.ann.retry(saga)
    stage.run()
    assert stage.status(saga) == "running"
    assert stage.states(saga) == ["sleep waiting", "go waiting", "word waiting", "look succeeded"]
    left = stage.arena.records.query(
        "SELECT extract(epoch FROM due_at - now()) AS s FROM saga.step WHERE kind = 'timer'"
    )
    assert 3000 < left[0].s <= 3600, "as much time as it had left"
    stage.arena.client.signal(saga, "word", 7)
    stage.arena.client.approve(saga, "go", by="bob")
    stage.arena.records.query("UPDATE saga.step SET due_at = now() WHERE kind = 'timer'")
    stage.run()
    assert stage.arena.client.handle(saga).result(0) == 7


def test_not_if_the_code_went_on(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.resilient)
    assert stage.status(saga) == "completed"
    with pytest.raises(Conflict, match="is completed: only a saga that failed, or"):
        stage.ann.retry(saga)


def test_not_if_the_code_went_on_and_then_failed(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.resilient)
    assert stage.status(saga) == "failed"
    stage.troubles.end("tell")
    stage.ann.retry(saga)  # of the step that it did not expect to fail
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.states(saga) == ["look failed", "tell succeeded", "tell succeeded"]


def test_not_if_anything_is_undone(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.order)
    assert stage.status(saga) == "compensated"
    with pytest.raises(Conflict, match="what it did is undone, so it cannot go on"):
        stage.ann.retry(saga)
    assert stage.audit()[0].refused


def test_a_saga_whose_code_failed_decides_anew(stage: Stage) -> None:
    sagas.BUG[0] = True
    saga = stage.start(sagas.stubborn)
    assert stage.status(saga) == "failed"
    stage.ann.retry(saga)
    stage.run()
    assert stage.status(saga) == "failed", "the bug is still there"
    sagas.BUG[0] = False
    stage.ann.retry(saga, reason="deployed a fix")
    stage.run()
    assert stage.status(saga) == "completed"
    assert len(stage.arena.ledger.asked("do")) == 1


def test_a_child_that_failed_goes_on_with_its_parent(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.failing_journey)
    child = stage.child(saga, 1)
    assert (stage.status(saga), stage.status(child)) == ("failed", "failed")
    with pytest.raises(Conflict, match=f"is a child of {saga}"):
        stage.ann.retry(child)
    stage.troubles.end("look")
    stage.ann.retry(saga)
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("completed", "completed")
    assert stage.arena.client.handle(saga).result(0) == 9


def test_not_if_its_child_has_undone_itself(stage: Stage) -> None:
    stage.troubles.make("ship", "give_up")
    saga = stage.start(sagas.parent_of_order)
    assert stage.status(saga) == "failed"
    stage.troubles.end("ship")
    with pytest.raises(Conflict, match="is compensated: what it did is undone"):
        stage.ann.retry(saga)
    assert stage.status(saga) == "failed"


def test_a_real_worker_takes_it_up(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.crowd, 3)
    stage.troubles.end("look")
    stage.arena.ready(stage.worker())
    stage.ann.retry(saga)
    assert stage.arena.until_over(saga) == {saga: "completed"}


def test_what_waits_for_its_next_attempt_makes_it_now(stage: Stage) -> None:
    stage.troubles.make("wire", "unknown_for_long")
    saga = stage.arena.start(sagas.transfer, key="one").id
    stage.process.advance(saga)
    assert stage.states(saga) == ["book succeeded", "wire unknown"]
    stage.troubles.end("wire")
    stage.ann.retry(saga, reason="the bank answers again")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.step(saga, 2).attempt == 2
    with pytest.raises(Conflict, match="or waits for another attempt, can be retried"):
        stage.ann.retry(saga)
