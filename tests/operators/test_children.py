"""Children are undone before what their parents did earlier."""

from tests.operators.code import sagas
from tests.operators.stage import Stage


def test_a_completed_child_is_undone_in_its_place(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.journey)
    child = stage.child(saga, 2)
    assert (stage.status(saga), stage.status(child)) == ("compensated", "compensated")
    assert stage.arena.ledger.undone == [f"{saga}:3", f"{child}:2", f"{child}:1", f"{saga}:1"]
    assert stage.states(saga) == [
        "book succeeded",
        "unbook succeeded",
        "leg succeeded",
        "leg succeeded",
        "book succeeded",
        "unbook succeeded",
        "look failed",
    ]
    assert not stage.stands()


def test_a_child_that_did_nothing_is_nothing_to_undo(stage: Stage) -> None:
    """Its parent has failed, and can be retried."""
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.survey)
    child = stage.child(saga, 1)
    assert (stage.status(saga), stage.status(child)) == ("failed", "completed")
    assert (1, True) not in stage.arena.records.steps(saga)
    stage.troubles.end("tell")
    stage.ann.retry(saga)
    stage.run()
    assert (stage.status(saga), stage.stands()) == ("completed", ["tell"])
    assert "nothing to undo" in (stage.ann.preview(saga).refused or "")


def test_by_hand_too(stage: Stage) -> None:
    saga = stage.start(sagas.journey)
    child = stage.child(saga, 2)
    assert stage.status(saga) == "completed"
    preview = stage.ann.preview(saga)
    assert [(undo.wave, undo.step.position) for undo in preview.undos] == [(1, 3), (2, 2), (3, 1)]
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("compensated", "compensated")
    assert stage.actors(child) == [(f"saga {saga}", "compensating", "its parent is undone")]


def test_a_scope_leaves_a_child_that_did_nothing_as_it_is(stage: Stage) -> None:
    stage.troubles.make("tell", "give_up")
    saga = stage.start(sagas.scoped_survey)
    child = stage.child(saga, 1)
    assert (stage.status(saga), stage.status(child)) == ("failed", "completed")
    assert stage.states(saga) == [
        "looking_family succeeded",
        "looking_family succeeded",
        "tell failed",
    ]
    stage.troubles.end("tell")
    stage.ann.retry(saga)
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("completed", "completed")


def test_children_of_children(stage: Stage) -> None:
    saga = stage.start(sagas.nested)
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    child = stage.child(saga, 2)
    grandchild = stage.child(child, 2)
    assert {stage.status(one) for one in (saga, child, grandchild)} == {"compensated"}
    assert stage.arena.ledger.undone == [
        f"{child}:3",
        f"{grandchild}:2",
        f"{grandchild}:1",
        f"{child}:1",
        f"{saga}:1",
    ]


def test_a_child_on_its_way_is_stopped_and_undone_first(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.long_journey)
    child = stage.child(saga, 2)
    assert (stage.status(saga), stage.status(child)) == ("compensated", "cancelled")
    assert stage.arena.ledger.undone == [f"{child}:1", f"{saga}:1"]
    assert stage.actors(child) == [(f"saga {saga}", "compensating", "its parent does not go on")]


def test_a_cancelled_parent_stops_its_child(stage: Stage) -> None:
    saga = stage.start(sagas.long_journey)
    child = stage.child(saga, 2)
    assert (stage.status(saga), stage.status(child)) == ("running", "running")
    stage.arena.client.cancel(saga, by="bob", reason="enough")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("cancelled", "cancelled")
    assert stage.arena.ledger.undone == [f"{child}:1", f"{saga}:1"]


def test_a_child_that_cannot_undo_itself_is_a_work_item_of_its_parent(stage: Stage) -> None:
    saga = stage.start(sagas.journey)
    child = stage.child(saga, 2)
    stage.troubles.make("unship")
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("partly_compensated",) * 2
    assert stage.step(saga, 2, undo=True).state == "blocked"
    assert stage.undone(saga) == [3, 1], "the others went on"
    stage.troubles.end("unship")
    for position in (1, 2):
        stage.ann.resolve(child, position, "retry")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("compensated", "compensated")
    assert stage.step(saga, 2, undo=True).state == "succeeded"
    assert not stage.stands()


def test_the_parents_work_item_can_be_tried_again(stage: Stage) -> None:
    saga = stage.start(sagas.journey)
    child = stage.child(saga, 2)
    stage.troubles.make("unship")
    stage.ann.compensate(saga, reason="a mistake")
    stage.run()
    stage.ann.resolve(saga, 2, "retry")
    stage.run()
    assert stage.step(saga, 2, undo=True).state == "blocked", "the child has its own work items"
    stage.ann.resolve(saga, 2, "skip", reason="they know")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("partly_compensated",) * 2


def test_a_child_that_was_half_undone_before_is_undone_entirely(stage: Stage) -> None:
    saga = stage.start(sagas.journey)
    child = stage.child(saga, 2)
    stage.ann.compensate(child, only=[1], reason="that one")
    stage.run()
    assert stage.status(child) == "partly_compensated"
    stage.ann.compensate(saga, reason="and all the rest")
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("compensated", "compensated")
    assert not stage.stands()


def test_a_scope_undoes_its_children(stage: Stage) -> None:
    stage.troubles.make("look", "nobody there")
    saga = stage.start(sagas.scoped_journey)
    child = stage.child(saga, 3)
    assert (stage.status(saga), stage.status(child)) == ("completed", "compensated")
    assert stage.arena.ledger.undone == [f"{child}:2", f"{child}:1", f"{saga}:2"]
    assert stage.stands() == ["book", "ship"]


def test_a_lost_recall_is_repeated_by_the_sweeper(stage: Stage) -> None:
    """Its parent was turned round, and whoever did that died before it told the child."""
    saga = stage.start(sagas.long_journey)
    child = stage.child(saga, 2)
    stage.arena.client.cancel(saga, by="bob")
    stage.arena.records.query("UPDATE saga.saga SET due_at = NULL WHERE id = %s", saga)
    stage.arena.records.query("UPDATE saga.step SET due_at = now() WHERE kind = 'child'")
    stage.sweeper.sweep()
    assert stage.status(child) == "compensating"
    stage.run()
    assert (stage.status(saga), stage.status(child)) == ("cancelled", "cancelled")
