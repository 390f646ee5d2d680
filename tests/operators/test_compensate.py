"""Undoing by hand, and looking at it before."""

from uuid import uuid4

import pytest

from saga import Conflict, InvalidInput, SagaNotFound
from saga.core.undo.preview import Preview
from tests.operators.code import sagas
from tests.operators.stage import Stage

_TABLES = (
    "SELECT * FROM saga.saga",
    "SELECT * FROM saga.step ORDER BY position",
    "SELECT * FROM saga.history ORDER BY seq",
    "SELECT * FROM saga.signal",
)


def undos(preview: Preview) -> list[tuple[int, int]]:
    """Wave and position of each."""
    return [(undo.wave, undo.step.position) for undo in preview.undos]


def stands(preview: Preview) -> dict[int, str]:
    return {row.position: why for row, why in preview.stands}


def test_a_completed_saga_is_undone_in_reverse(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    assert stage.status(saga) == "completed"
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [3, 2, 1]
    assert not stage.stands()
    assert stage.actors(saga) == [("ann", "compensating", "a mistake")]
    assert [(row.actor, row.action, row.reason, row.refused) for row in stage.audit()] == [
        ("ann", "compensate", "a mistake", None)
    ]


def test_the_preview_is_what_then_happens(stage: Stage) -> None:
    saga = stage.start(sagas.parcel)
    preview = stage.ann.preview(saga)
    assert undos(preview) == [(1, 6), (2, 4), (2, 3), (3, 2)]
    assert stands(preview) == {5: "it has no compensation"}
    assert preview.verdict == "compensated"
    first = preview.undos[0].step
    assert (first.intent.compensation, first.intent.args) == ("unship", '{"item":5}')
    assert first.result == f'"ship {saga}:6"'
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert stage.status(saga) == preview.verdict
    waves: dict[int, set[int]] = {}
    for wave, position in undos(preview):
        waves.setdefault(wave, set()).add(position)
    done = stage.undone(saga)
    for wave in sorted(waves):
        assert set(done[: len(waves[wave])]) == waves[wave]
        done = done[len(waves[wave]) :]
    assert not done
    assert stage.stands() == ["tell"]


def test_the_preview_changes_nothing(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    before = stage.arena.records.queries(*_TABLES)
    stage.ann.preview(saga)
    stage.run()
    assert stage.arena.records.queries(*_TABLES) == before
    assert not stage.audit()


def test_only_some_positions(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    preview = stage.ann.preview(saga, only=[2])
    assert undos(preview) == [(1, 2)]
    assert stands(preview) == {1: "it is not among those chosen", 3: "it is not among those chosen"}
    assert preview.verdict == "partly_compensated"
    stage.ann.compensate(saga, only=[2], reason="only that")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [2]


def test_from_a_position_on(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    stage.ann.compensate(saga, since=2, reason="the later ones")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [3, 2]


def test_the_rest_can_be_undone_later(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    stage.ann.compensate(saga, only=[2], reason="only that")
    stage.run()
    assert undos(stage.ann.preview(saga)) == [(1, 3), (2, 1)]
    stage.ann.compensate(saga, reason="and the rest")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [2, 3, 1]


def test_a_saga_on_its_way_is_stopped_first(stage: Stage) -> None:
    saga = stage.start(sagas.patient, 3600.0)
    stage.ann.compensate(saga, reason="enough")
    stage.run()
    assert stage.status(saga) == "compensated"
    assert "sleep cancelled" in stage.states(saga)


def test_there_must_be_something_to_undo(stage: Stage) -> None:
    saga = stage.start(sagas.entries, 1)
    with pytest.raises(Conflict, match=r"nothing to undo \(step 1 enter: it has no compensation\)"):
        stage.ann.compensate(saga, reason="why not")
    assert stage.status(saga) == "completed"
    assert "nothing to undo" in stage.audit()[0].refused


def test_once_is_enough(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    stage.ann.compensate(saga, reason="a mistake")
    with pytest.raises(Conflict, match="cannot be compensated: it is compensating"):
        stage.ann.compensate(saga, reason="again")
    preview = stage.ann.preview(saga)
    assert (undos(preview), preview.verdict) == ([], "compensating")
    assert preview.refused == f"saga order {saga} cannot be compensated: it is compensating"
    stage.run()
    with pytest.raises(Conflict, match="cannot be compensated: it is compensated"):
        stage.ann.compensate(saga, reason="again")
    assert [bool(row.refused) for row in stage.audit()] == [False, True, True]


def test_a_position_must_exist(stage: Stage) -> None:
    saga = stage.start(sagas.order)
    with pytest.raises(InvalidInput, match="no step at position 9"):
        stage.ann.compensate(saga, only=[9], reason="why not")
    with pytest.raises(InvalidInput, match="position: 1 or more"):
        stage.ann.preview(saga, only=[0])


def test_a_saga_must_exist(stage: Stage) -> None:
    with pytest.raises(SagaNotFound):
        stage.ann.compensate(uuid4(), reason="why not")
    with pytest.raises(SagaNotFound):
        stage.ann.preview(uuid4())


def test_what_is_blocked_does_not_hold_up_the_rest(stage: Stage) -> None:
    saga = stage.start(sagas.parcel)
    stage.troubles.make("unship")
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert stage.status(saga) == "partly_compensated"
    assert stage.undone(saga) == [4, 2]
    assert stage.stands() == ["ship", "ship", "tell"]
    preview = stage.ann.preview(saga)
    assert stands(preview) == {
        3: "its undo is blocked: resolve it",
        5: "it has no compensation",
        6: "its undo is blocked: resolve it",
    }
    assert (undos(preview), preview.verdict) == ([], "partly_compensated")
    assert preview.refused
    with pytest.raises(Conflict) as refusal:
        stage.ann.compensate(saga, reason="again")
    assert str(refusal.value) == preview.refused


def test_a_crash_between_two_undos_resumes_the_choice(stage: Stage) -> None:
    saga = stage.start(sagas.order, 5)
    victim = stage.worker("P16=kill", concurrency=1)
    stage.arena.ready(victim)
    stage.ann.compensate(saga, since=3, reason="the later ones")
    victim.await_death()
    assert stage.undone(saga) == [5]
    stage.worker()
    assert stage.arena.until_over(saga) == {saga: "partly_compensated"}
    assert stage.undone(saga) == [5, 4, 3]
