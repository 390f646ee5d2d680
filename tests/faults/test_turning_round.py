"""From forward to backward: nothing that was still on its way is forgotten, or undone in vain."""

import pytest

from saga.core.rows import StepKey, child_id
from saga.engine.attempt.work import Outcome
from tests.faults.arena import Arena
from tests.faults.code import sagas


def _forget(*_: object) -> None:
    """What a process does that dies."""


_NOT_DOCKS = ["sagas", "default"]


def test_killed_before_the_unwanted_is_cancelled(arena: Arena) -> None:
    saga = arena.start(sagas.split, 3, key="one").id
    victim = arena.worker("P15=kill", queues=_NOT_DOCKS, concurrency=1)
    victim.await_death()
    arena.lose_messages()
    arena.worker()
    assert arena.until_over(saga) == {saga: "failed"}


def test_killed_before_an_approval_without_a_deadline_is_cancelled(arena: Arena) -> None:
    saga = arena.start(sagas.asks, key="one").id
    victim = arena.worker("P10=kill@2", concurrency=1)
    arena.until(lambda: arena.records.steps(saga), "it waits for an approval")
    arena.client.cancel(saga)
    victim.await_death()
    arena.lose_messages()
    arena.worker()
    assert arena.until_over(saga) == {saga: "cancelled"}


def test_retry_recorded_while_another_turns_the_saga_round(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = arena.start(sagas.fan, 2, key="one").id
    with arena.inline() as one, arena.inline() as other:
        first = one.conductor.advance(saga)
        second = other.conductor.claim(StepKey(saga, 2, undo=False), None)
        assert first is not None
        assert second is not None
        loader = other.conductor._advancer._loader  # pyright: ignore[reportPrivateUsage]
        load_rows = loader.load_rows

        def load_rows_and_be_late(turns: object) -> None:
            load_rows(turns)  # type: ignore[arg-type]
            if not turns:
                return
            monkeypatch.undo()
            one.conductor.settle(first, Outcome("retrying", retry_in=0.0))

        monkeypatch.setattr(loader, "load_rows", load_rows_and_be_late)
        other.conductor.settle(second, Outcome("failed", error='{"type": "E", "message": ""}'))
    arena.worker()
    assert arena.until_over(saga) == {saga: "failed"}


def test_what_a_saga_that_ended_well_forgot_to_drop(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = arena.start(sagas.hurry, 0.1, key="one").id
    ship = StepKey(saga, 2, undo=False)
    with arena.inline("sagas") as process, arena.sweeper() as sweeper:
        process.advance(saga)
        arena.sweep_until(sweeper, lambda: arena.records.steps(saga)[1, False].event, "the timer")
        monkeypatch.setattr("saga.engine.advance.after_landing.drop", _forget)
        process.advance(saga)
        monkeypatch.undo()
        assert arena.records.statuses() == {saga: "completed"}
        assert arena.records.steps(saga)[2, False].state == "ready"
        process.run_step("ship", ship)
    assert arena.records.steps(saga)[2, False].state == "cancelled"


def test_what_a_saga_that_goes_on_forgot_to_drop(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = arena.start(sagas.patience, 0.1, key="one").id
    with arena.inline("sagas") as process, arena.sweeper() as sweeper:
        process.advance(saga)
        arena.sweep_until(sweeper, lambda: arena.records.steps(saga)[1, False].event, "the timer")
        monkeypatch.setattr("saga.engine.advance.after_landing.drop", _forget)
        process.advance(saga)
        monkeypatch.undo()
        assert arena.records.steps(saga)[2, False].state == "ready"
    arena.lose_messages()
    arena.worker(queues=_NOT_DOCKS)
    arena.until(lambda: arena.records.steps(saga)[2, False].state == "cancelled", "it is dropped")
    arena.client.signal(saga, "go")
    assert arena.until_over(saga) == {saga: "completed"}


def test_a_child_that_a_saga_that_ended_well_forgot_to_stop(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    saga = arena.start(sagas.guardian, 0.1, key="one").id
    child = child_id(saga, 2)
    with arena.inline() as process, arena.sweeper() as sweeper:
        process.advance(saga)
        process.advance(child)
        arena.drive(process, child)
        arena.sweep_until(sweeper, lambda: arena.records.steps(saga)[1, False].event, "the timer")
        monkeypatch.setattr("saga.engine.advance.after_landing.drop", _forget)
        process.advance(saga)
        monkeypatch.undo()
        assert arena.records.statuses() == {saga: "completed", child: "running"}
    arena.worker()
    assert arena.until_over() == {saga: "completed", child: "cancelled"}
    assert arena.ledger.undone == [f"{child}:1"]


def test_unwanted_steps_of_a_scope(arena: Arena) -> None:
    saga = arena.start(sagas.haven, 3, key="one").id
    arena.worker(queues=_NOT_DOCKS)
    assert arena.until_over(saga) == {saga: "completed"}


def test_the_probe_before_an_undo_asks_for_the_effect(arena: Arena) -> None:
    saga = arena.start(sagas.transfer, fails=True, key="one").id
    with arena.inline() as process:
        work = process.conductor.advance(saga)
        assert work is not None
        arena.ledger.ask("do", "wire", work.idempotency_key, work.attempt)
        arena.client.cancel(saga)
        arena.take_over(process)
    arena.worker()
    assert arena.until_over(saga) == {saga: "cancelled"}
    assert arena.ledger.undone == [f"{saga}:1"]


def test_an_effect_that_comes_after_its_undo(arena: Arena) -> None:
    """The undo of what never happened makes the key void: a zombie's effect is refused."""
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as process:
        work = process.conductor.advance(saga)
        assert work is not None
        arena.client.cancel(saga)
        arena.take_over(process)
        arena.worker()
        assert arena.until_over(saga) == {saga: "cancelled"}
        arena.carry_out(process, work)
    assert not arena.ledger.applied
    assert arena.ledger.void == {f"{saga}:1"}
