"""Many people at once: one wins, the others are told so, and all of it is written down (I12)."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from saga import Conflict, SagaEnded, SagaError
from saga.client.operator import Operator
from tests.operators.code import sagas
from tests.operators.stage import Stage

CROWD = 20

Act = Callable[[Operator, UUID], Any]


def all_at_once(stage: Stage, acts: list[Act], saga: UUID) -> list[SagaError | None]:
    """What each got; who waits for the row longer than a statement may, asks again."""
    gate = threading.Barrier(len(acts))
    got: list[SagaError | None] = [None] * len(acts)

    def act(number: int) -> None:
        person = stage.arena.client.operator(f"person {number}")
        gate.wait()
        try:
            stage.arena.persist(acts[number], person, saga)
        except SagaError as error:
            got[number] = error

    threads = [threading.Thread(target=act, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def blocked_undo(stage: Stage) -> tuple[UUID, str]:
    saga = stage.start(sagas.order)
    stage.troubles.make("unbook")
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    stage.troubles.end("unbook")
    stage.ann.resolve(saga, 1, "skip", reason="no")
    stage.ann.resolve(saga, 2, "skip", reason="no")
    return saga, "partly_compensated"


def failed(stage: Stage) -> tuple[UUID, str]:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.crowd, 2)
    stage.troubles.end("look")
    return saga, "completed"


def completed(stage: Stage) -> tuple[UUID, str]:
    return stage.start(sagas.order), "compensated"


def on_its_way(stage: Stage) -> tuple[UUID, str]:
    return stage.start(sagas.patient, 60.0), "cancelled"


CASES: list[tuple[Callable[[Stage], tuple[UUID, str]], Act]] = [
    (completed, lambda person, saga: person.compensate(saga, reason="mine")),
    (on_its_way, lambda person, saga: person.cancel(saga, reason="mine")),
    (failed, lambda person, saga: person.retry(saga, reason="mine")),
    (blocked_undo, lambda person, saga: person.resolve(saga, 3, "retry", reason="mine")),
    (blocked_undo, lambda person, saga: person.resolve(saga, 3, "skip", reason="mine")),
    (blocked_undo, lambda person, saga: person.resolve(saga, 3, "done", reason="mine")),
]


@pytest.mark.parametrize(
    ("prepare", "act"),
    CASES,
    ids=["compensate", "cancel", "retry", "resolve retry", "resolve skip", "resolve done"],
)
def test_one_of_many_wins(
    stage: Stage, prepare: Callable[[Stage], tuple[UUID, str]], act: Act
) -> None:
    saga, end = prepare(stage)
    before = len(stage.audit())
    got = all_at_once(stage, [act] * CROWD, saga)
    assert got.count(None) == 1
    assert all(isinstance(error, Conflict | SagaEnded) for error in got if error is not None)
    rows = stage.audit()[before:]
    assert len({row.actor for row in rows}) == len(rows) == CROWD
    winner = f"person {got.index(None)}"
    assert [row.actor for row in rows if row.refused is None] == [winner]
    assert {actor for actor, _, reason in stage.actors(saga) if reason == "mine"} == {winner}
    stage.run()
    assert stage.status(saga) == end
    if prepare is blocked_undo and stage.step(saga, 3, undo=True).attempt == 2:
        stage.arena.ledger.undone.append(f"{saga}:3")  # by hand, that is


def test_different_things_at_once(stage: Stage) -> None:
    saga, _ = blocked_undo(stage)
    before = len(stage.audit())
    acts: list[Act] = [
        lambda person, saga: person.resolve(saga, 3, "retry", reason="mine"),
        lambda person, saga: person.resolve(saga, 3, "skip", reason="mine"),
        lambda person, saga: person.compensate(saga, reason="mine"),
        lambda person, saga: person.cancel(saga, reason="mine"),
    ]
    got = all_at_once(stage, acts * 5, saga)
    assert got.count(None) == 1
    assert len(stage.audit()) == before + CROWD
    stage.run()


def test_approving_and_rejecting_at_once(stage: Stage) -> None:
    saga = stage.start(sagas.patient, 60.0)
    client = stage.arena.client
    acts: list[Act] = [
        lambda person, saga: client.approve(saga, "go", by=person.by),
        lambda person, saga: client.reject(saga, "go", by=person.by),
    ]
    got = all_at_once(stage, acts * 10, saga)
    assert got.count(None) == 1
    rows = stage.audit()
    assert len(rows) == CROWD
    assert [row.actor for row in rows if row.refused is None] == [f"person {got.index(None)}"]
    decision = stage.step(saga, 2).result
    assert decision["by"] == f"person {got.index(None)}"
    assert decision["approved"] is (got.index(None) % 2 == 0)
