"""Deciding on what is blocked."""

from typing import Any
from uuid import UUID

import pytest

from saga import Conflict, InvalidInput
from tests.operators.code import sagas
from tests.operators.stage import Stage


def stuck_undo(stage: Stage) -> UUID:
    """An order whose first two undos do not work, while its third has."""
    saga = stage.start(sagas.parcel)
    stage.troubles.make("unbook")
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [6, 3]
    return saga


def stuck_payment(stage: Stage) -> UUID:
    """A payment that may have happened."""
    stage.troubles.make("pay", "unknown")
    saga = stage.start(sagas.payment)
    step = stage.step(saga, 2)
    assert (stage.status(saga), step.state, step.in_doubt) == ("running", "blocked", True)
    stage.troubles.end("pay")
    return saga


def test_an_undo_is_tried_again_with_a_fresh_budget(stage: Stage) -> None:
    saga = stuck_undo(stage)
    assert stage.step(saga, 4, undo=True).attempt == sagas.SOON.max_attempts
    stage.ann.resolve(saga, 4, "retry", reason="it is back")
    stage.run()
    assert stage.step(saga, 4, undo=True).state == "blocked"
    assert stage.step(saga, 4, undo=True).attempt == 2 * sagas.SOON.max_attempts
    stage.troubles.end("unbook")
    stage.ann.resolve(saga, 4, "retry")
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.step(saga, 4, undo=True).attempt == 2 * sagas.SOON.max_attempts + 1
    assert stage.stands() == ["tell"]


def test_an_undo_is_skipped_with_a_reason(stage: Stage) -> None:
    saga = stuck_undo(stage)
    with pytest.raises(InvalidInput, match="reason: say why"):
        stage.ann.resolve(saga, 4, "skip")
    stage.ann.resolve(saga, 4, "skip", reason="the customer keeps it")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.step(saga, 4, undo=True).state == "skipped"
    assert ("ann", "skipped", "the customer keeps it") in stage.actors(saga)


def test_an_undo_was_done_by_hand(stage: Stage) -> None:
    saga = stuck_undo(stage)
    stage.ann.resolve(saga, 4, "done", reason="called them")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    stage.ann.resolve(saga, 2, "done", reason="called them")
    stage.run()
    assert stage.status(saga) == "compensated"
    stage.arena.ledger.undone += [f"{saga}:4", f"{saga}:2"]  # by hand, that is


def test_a_payment_was_made(stage: Stage) -> None:
    saga = stuck_payment(stage)
    stage.ann.resolve(saga, 2, "done", result="receipt 7", reason="it is in the bank's list")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.arena.client.handle(saga).result(0) == "receipt 7"
    assert not stage.step(saga, 2).in_doubt


def test_a_payment_is_tried_again_with_the_same_key(stage: Stage) -> None:
    saga = stuck_payment(stage)
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.status(saga) == "completed"
    assert [e.applied for e in stage.arena.ledger.asked("do", f"{saga}:2")] == [True, False]


def test_a_payment_that_is_unknown_again_is_asked_about_again(stage: Stage) -> None:
    saga = stuck_payment(stage)
    stage.troubles.make("pay", "unknown")
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.step(saga, 2).state == "blocked"
    stage.ann.resolve(saga, 2, "done", result="found it")
    stage.run()
    assert stage.status(saga) == "completed"


def test_a_skipped_payment_fails_the_saga_and_is_undone_if_it_happened(stage: Stage) -> None:
    saga = stuck_payment(stage)
    stage.ann.resolve(saga, 2, "skip", reason="not worth it")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [2, 1]
    assert not stage.stands()


def test_a_skipped_payment_is_undone_by_its_scope_if_it_happened(stage: Stage) -> None:
    stage.troubles.make("pay", "unknown")
    saga = stage.start(sagas.cautious)
    stage.ann.resolve(saga, 2, "skip", reason="not worth it")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.undone(saga) == [2]
    assert stage.stands() == ["book"]


def test_a_result_must_fit_the_step(stage: Stage) -> None:
    saga = stuck_payment(stage)
    bad: list[Any] = [float("nan"), "\x00"]
    for result in bad:
        with pytest.raises(InvalidInput):
            stage.ann.resolve(saga, 2, "done", result=result)
    assert stage.step(saga, 2).state == "blocked"
    with pytest.raises(InvalidInput, match="result: only for what is done"):
        stage.ann.resolve(saga, 2, "retry", result=1)
    stage.ann.resolve(saga, 2, "done", result="receipt")
    stage.run()


def test_only_what_is_blocked_can_be_resolved(stage: Stage) -> None:
    saga = stuck_payment(stage)
    with pytest.raises(Conflict, match=r"nothing is blocked at position 1 .*: book is succeeded"):
        stage.ann.resolve(saga, 1, "retry")
    with pytest.raises(InvalidInput, match=r"position 9: .* has nothing there"):
        stage.ann.resolve(saga, 9, "retry")
    stage.ann.resolve(saga, 2, "done", result="receipt")
    with pytest.raises(Conflict, match="pay is succeeded"):
        stage.ann.resolve(saga, 2, "done", result="another")
    stage.run()
    assert stage.arena.client.handle(saga).result(0) == "receipt"


def test_a_cancelled_saga_waits_for_nobody(stage: Stage) -> None:
    """A step that waits for a person stays a work item; the others are undone."""
    stage.troubles.make("pay", "unknown")
    saga = stage.start(sagas.payments)
    stage.arena.client.cancel(saga, by="bob", reason="enough")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [3, 1]
    assert stage.step(saga, 2).state == "blocked"
    stage.process.advance(saga)
    assert stage.step(saga, 2).state == "blocked", "a stray wake-up changes nothing"
    with pytest.raises(Conflict, match="cannot run any more"):
        stage.ann.resolve(saga, 2, "retry")
    stage.ann.resolve(saga, 2, "done", result="it happened")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.undone(saga) == [3, 1, 2]


def test_a_blocked_undo_in_a_scope_holds_nothing_up(stage: Stage) -> None:
    stage.troubles.make("unbook")
    stage.troubles.make("look")
    saga = stage.start(sagas.detour)
    assert stage.status(saga) == "completed"
    assert stage.step(saga, 1, undo=True).state == "blocked"
    stage.troubles.end("unbook")
    stage.ann.resolve(saga, 1, "retry")
    stage.run()
    assert stage.status(saga) == "completed"
    assert stage.undone(saga) == [1]
    assert stage.stands() == ["ship"]


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_probe_that_does_not_answer_is_for_a_person(stage: Stage, how: str) -> None:
    stage.troubles.make("wire", "unknown")
    stage.troubles.make("find_wire", how)
    saga = stage.start(sagas.transfer)
    assert stage.step(saga, 2).state == "blocked"
    stage.troubles.end("find_wire")
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.status(saga) == "completed"
    assert len(stage.arena.ledger.asked("do", f"{saga}:2")) == 1, "the probe found it"


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_so_is_one_that_does_not_answer_before_an_undo(stage: Stage, how: str) -> None:
    stage.troubles.make("wire", "unknown")
    stage.troubles.make("find_wire", how)
    saga = stage.arena.start(sagas.transfer, key="one").id
    stage.process.advance(saga)
    stage.arena.client.cancel(saga, by="bob")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert (stage.step(saga, 2, undo=True).state, stage.undone(saga)) == ("blocked", [1])
    stage.troubles.end("find_wire")
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.status(saga) == "cancelled"
    assert stage.undone(saga) == [1, 2]
