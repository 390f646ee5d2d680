"""What a replay asks with other arguments is parked, and goes on with the right ones."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from saga.core.declare.definitions import SagaDefinition, StepDefinition
from saga.core.declare.registry import Registry, registry
from saga.core.verbs import signal
from tests.faults.arena import Arena

with registry.sandbox():
    from tests.faults import code_changed as code

SHOPS = {"north", "south", "east", "west", "centre", "harbour"}


def _worker(arena: Arena, **environment: str) -> Any:
    return arena.worker(modules=["tests.faults.code_changed"], environment=environment)


def _parked(arena: Arena) -> str:
    notes = arena.until(
        lambda: arena.records.query("SELECT note FROM saga.saga WHERE status = 'parked'"), "parked"
    )
    return notes[0].note


def _until_waits(arena: Arena, name: str) -> None:
    query = "SELECT 1 FROM saga.step WHERE state = 'waiting' AND name = %s"
    arena.until(lambda: arena.records.query(query, name), f"it waits for {name}")


def _hurry(arena: Arena) -> None:
    arena.records.query("UPDATE saga.saga SET due_at = now() WHERE status = 'parked'")


def test_nothing_else_is_paid_than_was_approved(arena: Arena) -> None:
    saga = arena.start(code.refund_flow, 1, key="one")
    old = _worker(arena, V="1")
    _until_waits(arena, "refund")
    old.kill()
    new = _worker(arena, V="2")
    arena.client.approve(saga.id, "refund", by="ann")
    note = _parked(arena)
    assert '{"cents":100}' in note
    assert '{"cents":1000}' in note
    assert '"cents"' not in new.last_words(), "arguments are in no log"
    new.kill()
    _worker(arena, V="1")
    _hurry(arena)
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(0) == 100


def test_no_result_gets_under_another_name(arena: Arena) -> None:
    saga = arena.start(code.shop_by_shop, SHOPS, key="one")
    first = _worker(arena, PYTHONHASHSEED="1")
    _until_waits(arena, "go")
    first.kill()
    other = _worker(arena, PYTHONHASHSEED="2")
    saga.signal("go")
    assert "step price" in _parked(arena)
    other.kill()
    _worker(arena, PYTHONHASHSEED="1")
    _hurry(arena)
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(0) == {shop: f"the price of {shop}" for shop in SHOPS}


def test_a_set_is_the_same_in_every_process(arena: Arena) -> None:
    saga = arena.start(code.all_shops, SHOPS, key="one")
    first = _worker(arena, PYTHONHASHSEED="1")
    _until_waits(arena, "go")
    first.kill()
    _worker(arena, PYTHONHASHSEED="2")
    saga.signal("go")
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert saga.result(0) == len(SHOPS) * 2 + 1


def test_chance_is_parked_after_a_kill(arena: Arena) -> None:
    sagas = [arena.start(code.by_chance, what, key=what) for what in code.CHANCE]
    first = _worker(arena, PYTHONHASHSEED="1")
    waits = "SELECT 1 FROM saga.step WHERE state = 'waiting'"
    arena.until(lambda: len(arena.records.query(waits)) == len(sagas), "all wait")
    first.kill()
    _worker(arena, PYTHONHASHSEED="2")
    for saga in sagas:
        saga.signal("go")
    parked = "SELECT 1 FROM saga.saga WHERE status = 'parked' AND note LIKE '%%step price%%'"
    arena.until(lambda: len(arena.records.query(parked)) == len(sagas), "all are parked")


# In this process, where the code is changed at will


def _wrap_old(item: str) -> str:
    return item


def _wrap_new(item: str, gift: bool = False) -> str:
    return item


def _code(wrap: Callable[..., str], *args: Any) -> tuple[Registry, SagaDefinition[..., Any]]:
    step: StepDefinition[..., str] = StepDefinition(wrap, name="wrap", read_only=True)

    async def body() -> str:
        wrapped = [await step(*args) for _ in range(3)]
        await signal("go")
        return "".join(wrapped)

    own = Registry()
    saga: SagaDefinition[..., Any] = SagaDefinition(body, name="wrapping")
    own.add_step(step)
    own.add_saga(saga)
    return own, saga


def _deployed_anew(arena: Arena, *args: Any, before: str | None = None) -> UUID:
    """A saga that began with one wrapping of a lamp, and goes on with another."""
    old, definition = _code(_wrap_old, "lamp")
    saga = arena.start(definition, key="one")
    with arena.inline(code=old) as process:
        arena.drive(process, saga.id)
    if before is not None:
        arena.records.query(before)
    saga.signal("go")
    new, _ = _code(_wrap_new, *args)
    with arena.inline(code=new) as process:
        arena.drive(process, saga.id)
    return saga.id


_AS_IN_0_1_0 = "UPDATE saga.step SET digest = NULL"


@pytest.mark.parametrize("before", [None, _AS_IN_0_1_0], ids=["now", "0.1.0"])
def test_a_new_parameter_with_a_default_parks_nothing(arena: Arena, before: str | None) -> None:
    saga = _deployed_anew(arena, "lamp", before=before)
    assert arena.records.statuses() == {saga: "completed"}


@pytest.mark.parametrize("before", [None, _AS_IN_0_1_0], ids=["now", "0.1.0"])
@pytest.mark.parametrize("args", [("desk",), ("lamp", True)])
def test_another_argument_parks(arena: Arena, args: tuple[Any, ...], before: str | None) -> None:
    saga = _deployed_anew(arena, *args, before=before)
    assert arena.records.statuses() == {saga: "parked"}
    assert 'its history has {"item":"lamp"' in _parked(arena)


def test_an_undo_has_the_arguments_of_its_step(arena: Arena) -> None:
    saga = arena.start(code.stamps, key="one")
    old = _worker(arena, V="1")
    _until_waits(arena, "go")
    old.kill()
    _worker(arena, V="2")
    saga.signal("go")
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    steps = arena.records.steps(saga.id)
    assert [steps[1, undo].args for undo in (False, True)] == [{"stamp": "1"}] * 2
