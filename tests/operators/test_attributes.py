"""What a saga says of itself is found, and said once whatever dies."""

from typing import Any
from uuid import UUID

import pytest

from saga import InvalidInput, SagaFilter, attributes
from tests.operators.code import sagas
from tests.operators.stage import Stage


def found(stage: Stage, *wanted: str) -> list[UUID]:
    return [row.id for row in stage.arena.client.list(SagaFilter(attributes=wanted)).rows]


def shown(stage: Stage, saga_id: UUID) -> Any:
    return stage.arena.client.show(saga_id).attributes


def test_they_join_those_of_the_start(stage: Stage) -> None:
    begun = stage.arena.start(sagas.labelled, 20, key="one", attributes={"tenant": 7, "stage": ""})
    stage.run()
    one = begun.id
    other = stage.start(sagas.labelled, 5, key="two")
    assert shown(stage, one) == {"tenant": 7, "stage": "asked", "amount": 20}
    assert shown(stage, other) == {"stage": "asked", "amount": 5}
    assert found(stage, "stage=asked", "amount>10") == [one]
    begun.signal("go")
    stage.run()
    assert shown(stage, one) == {"tenant": 7, "stage": "shipped", "amount": 20}
    assert (found(stage, "stage=shipped"), found(stage, "stage=asked")) == ([one], [other])
    assert stage.status(one) == "completed"


@pytest.mark.parametrize("point", ["P3", "P7", "P9"])
def test_a_worker_dies_in_between(stage: Stage, point: str) -> None:
    """Another worker replays the code from the journal: it says the same again."""
    doomed = stage.worker(f"{point}=kill")
    begun = [
        stage.arena.start(sagas.labelled, n, key=f"{n}", attributes={"n": n}) for n in range(3)
    ]
    for handle in begun:
        stage.arena.persist(handle.signal, "go")
    doomed.await_death()
    stage.arena.ready(stage.worker())
    stage.arena.until_over(*(handle.id for handle in begun))
    for n, handle in enumerate(begun):
        assert shown(stage, handle.id) == {"n": n, "stage": "shipped", "amount": n}


def test_outside_they_are_only_checked() -> None:
    attributes(stage="asked")
    with pytest.raises(InvalidInput, match="attributes"):
        attributes(stage=float("nan"))
