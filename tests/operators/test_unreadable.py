"""A value that could not be read back fails what made it, and what was done is undone."""

from tests.operators.code import sagas
from tests.operators.stage import Stage

WHY = "a Gold would come back as a Coin"


def test_of_a_step(stage: Stage) -> None:
    """Nobody knows its result, and the effect is there: its undo runs without."""
    saga = stage.start(sagas.minting)
    assert stage.status(saga) == "compensated"
    failed = stage.step(saga, 2)
    assert (failed.state, failed.attempt, failed.in_doubt) == ("failed", 1, True)
    assert failed.error["type"] == "InvalidInput"
    assert f"mint: cannot be read back from JSON: result: {WHY}" in failed.error["message"]
    assert stage.undone(saga) == [2, 1]
    assert stage.stands() == []


def test_of_a_saga(stage: Stage) -> None:
    saga = stage.start(sagas.minting, as_result=True)
    assert stage.status(saga) == "compensated"
    assert stage.undone(saga) == [1]
    (row,) = stage.arena.records.query("SELECT error FROM saga.saga")
    assert WHY in row.error["message"]
