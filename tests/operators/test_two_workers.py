"""Two workers decide about a saga from the very same journal, as after a doubled wake-up."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from saga.engine.attempt.work import Work
from saga.engine.worker.process import WorkerProcess
from tests.faults.code import own_registry
from tests.operators.code import sagas
from tests.operators.stage import Stage


def just_started(stage: Stage) -> UUID:
    return stage.arena.start(sagas.order, key="one").id


def to_be_undone(stage: Stage) -> UUID:
    saga = stage.start(sagas.order)
    stage.ann.compensate(saga, reason="a mistake")
    return saga


def with_nothing_left_to_undo(stage: Stage) -> UUID:
    saga = stage.start(sagas.order)
    stage.troubles.make("unbook", "give_up")
    stage.ann.compensate(saga, only=[3], reason="a mistake")
    stage.run()
    stage.ann.resolve(saga, 3, "done")
    stage.arena.ledger.undone.append(f"{saga}:3")  # by hand, that is
    return saga


def to_fail_again(stage: Stage) -> UUID:
    sagas.BUG[0] = True
    saga = stage.start(sagas.stubborn)
    stage.ann.retry(saga)
    return saga


CASES: dict[Callable[[Stage], UUID], str] = {
    just_started: "completed",
    to_be_undone: "compensated",
    with_nothing_left_to_undo: "partly_compensated",
    to_fail_again: "failed",
}


@pytest.mark.parametrize("prepare", CASES, ids=lambda prepare: prepare.__name__)
def test_one_decision_lands(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Stage], UUID]
) -> None:
    saga = prepare(stage)
    with stage.arena.inline(code=own_registry(sagas)) as other:
        theirs = advance_in_between(stage.process, other, saga, monkeypatch)
        if theirs is not None:
            stage.arena.carry_out(other, theirs)
    stage.run()
    assert stage.status(saga) == CASES[prepare]


def advance_in_between(
    slow: WorkerProcess, quick: WorkerProcess, saga: UUID, monkeypatch: pytest.MonkeyPatch
) -> Work | None:
    """What `quick` gets to do, which decides after `slow` has and before that can write it down."""
    got: list[Work | None] = []
    land = slow.conductor._advancer._land  # pyright: ignore[reportPrivateUsage]

    def land_too_late(*decision: Any) -> Any:
        monkeypatch.undo()
        got.append(quick.conductor.advance(saga))
        return land(*decision)

    monkeypatch.setattr(slow.conductor._advancer, "_land", land_too_late)
    assert slow.conductor.advance(saga) is None
    return got[0]
