"""Past a pivot a saga only goes forward."""

import pytest

from saga import Conflict
from tests.operators.code import sagas
from tests.operators.stage import Stage


def test_a_failure_after_it_waits_for_a_person(stage: Stage) -> None:
    stage.troubles.make("ship")
    saga = stage.start(sagas.decided)
    assert stage.status(saga) == "running"
    assert stage.states(saga) == ["book succeeded", "commit succeeded", "ship blocked"]
    assert not stage.arena.ledger.undone
    stage.troubles.end("ship")
    stage.ann.resolve(saga, 3, "retry", reason="they are back")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.step(saga, 3).attempt == sagas.SOON.max_attempts + 1


def test_a_person_may_have_done_it(stage: Stage) -> None:
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.decided)
    stage.ann.resolve(saga, 4, "done", result="by letter")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.arena.client.handle(saga).result(0) == "by letter"


def test_a_failure_before_it_turns_the_saga_round(stage: Stage) -> None:
    stage.troubles.make("commit", "give_up")
    saga = stage.start(sagas.decided)
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [1]


def test_a_failure_that_the_code_expects_is_its_own(stage: Stage) -> None:
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.decided_with_a_way_round)
    assert stage.status(saga) == "completed"
    assert stage.states(saga) == ["commit succeeded", "tell failed", "ship succeeded"]


def test_code_that_goes_on_and_then_gives_up_is_parked(stage: Stage) -> None:
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.decided_and_late)
    assert stage.status(saga) == "parked"
    assert not stage.arena.ledger.undone
    note = stage.arena.records.query("SELECT note FROM saga.saga")[0].note
    assert "past its pivot commit (step 2) the saga only goes forward, and step 3 failed" in note
    preview = stage.ann.preview(saga)
    assert [undo.step.position for undo in preview.undos] == [4]
    assert {row.position: why for row, why in preview.stands} == {
        1: "it came before a pivot",
        2: "it is a pivot: past it the saga only goes forward",
    }
    stage.ann.compensate(saga, reason="by hand then")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [4]


def test_it_cannot_be_cancelled(stage: Stage) -> None:
    stage.troubles.make("ship")
    saga = stage.start(sagas.decided)
    with pytest.raises(Conflict, match=r"is past its pivot commit \(step 2\)"):
        stage.arena.client.cancel(saga, by="bob")
    assert stage.status(saga) == "running"
    assert [(row.actor, bool(row.refused)) for row in stage.audit()] == [("bob", True)]


def test_neither_while_the_pivot_is_in_doubt(stage: Stage) -> None:
    stage.troubles.make("commit", "unknown_before")
    saga = stage.arena.start(sagas.decided, key="one").id
    stage.process.advance(saga)
    assert stage.step(saga, 2).state == "unknown"
    for act in (stage.ann.cancel, stage.ann.compensate):
        with pytest.raises(Conflict, match="is at its pivot commit"):
            act(saga, reason="enough")
    stage.troubles.end("commit")
    stage.run()
    assert stage.status(saga) == "completed"


def test_a_failure_beside_the_pivot_waits_for_it(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("do", "commit")
    stage.troubles.make("look", "nobody there")
    worker = stage.worker(concurrency=4)
    saga = stage.arena.start(sagas.decided_at_once, key="one").id
    stage.arena.until(lambda: gate.arrived, "the pivot is at it")
    stage.arena.until(lambda: stage.step(saga, 3).state == "failed", "the other fails")
    stage.arena.until(
        lambda: stage.arena.records.query("SELECT wakes FROM saga.saga WHERE wakes > 0"),
        "the saga was looked at again",
    )
    assert stage.status(saga) == "running"
    gate.open()
    stage.arena.until(lambda: stage.step(saga, 3).state == "blocked", "its failure is held")
    assert stage.status(saga) == "running"
    stage.troubles.end("look")
    stage.ann.resolve(saga, 3, "retry")
    assert stage.arena.until_over(saga) == {saga: "completed"}
    assert not worker.is_dead


def test_a_failure_beside_a_pivot_that_fails_turns_the_saga_round(stage: Stage) -> None:
    gate = stage.arena.ledger.hold("do", "commit")
    stage.troubles.make("look", "nobody there")
    stage.worker(concurrency=4)
    saga = stage.arena.start(sagas.decided_at_once, key="one").id
    stage.arena.until(lambda: gate.arrived, "the pivot is at it")
    stage.arena.until(lambda: stage.step(saga, 3).state == "failed", "the other fails")
    stage.arena.ledger.void.add(f"{saga}:2")
    gate.open()
    assert stage.arena.until_over(saga) == {saga: "compensated"}
    assert stage.undone(saga) == [1]


def test_a_pivot_that_nobody_can_vouch_for_waits_for_a_person(stage: Stage) -> None:
    """It may have succeeded: neither forward nor backward is safe."""
    stage.troubles.make("commit", "unknown")
    saga = stage.start(sagas.decided)
    pivot = stage.step(saga, 2)
    assert (stage.status(saga), pivot.state, pivot.in_doubt) == ("running", "blocked", True)
    assert not stage.arena.ledger.undone
    with pytest.raises(Conflict, match="is at its pivot commit"):
        stage.arena.client.cancel(saga, by="bob")
    stage.troubles.end("commit")
    stage.ann.resolve(saga, 2, "done", result="they say so")
    stage.run()
    assert stage.status(saga) == "completed"


def test_a_person_may_say_that_the_pivot_is_off(stage: Stage) -> None:
    stage.troubles.make("commit", "unknown_before")
    saga = stage.start(sagas.decided)
    stage.ann.resolve(saga, 2, "skip", reason="it never arrived")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [1]


def test_a_child_that_failed_past_the_pivot_is_for_a_person(stage: Stage) -> None:
    stage.troubles.make("ship", "give_up")
    saga = stage.start(sagas.decided_with_a_child)
    child = stage.child(saga, 2)
    assert (stage.status(saga), stage.status(child)) == ("running", "compensated")
    assert stage.states(saga) == ["commit succeeded", "pair_of_steps blocked"]
    with pytest.raises(Conflict, match="has failed and undone itself"):
        stage.ann.resolve(saga, 2, "retry")
    stage.ann.resolve(saga, 2, "done", result="by hand")
    stage.run()
    assert stage.arena.client.handle(saga).result(0) == "by hand"


def test_what_waits_for_a_person_without_an_effect_holds_up_nothing(stage: Stage) -> None:
    stage.troubles.make("ship", "give_up")
    saga = stage.start(sagas.decided_with_a_child)
    stage.ann.compensate(saga, reason="by hand then")
    stage.run()
    assert stage.states(saga) == ["commit succeeded", "pair_of_steps cancelled"]
    assert stage.status(saga) == "compensated"
