"""A scope ends, whatever in it waits for longer: an attempt in an hour, a person, a dead worker."""

import json
from uuid import UUID

import psycopg
import pytest

from saga.core.rows import StepKey, child_id
from saga.engine.attempt.work import Outcome, Work
from saga.engine.worker.process import WorkerProcess
from tests.faults.arena import Arena
from tests.faults.code import own_registry, shelters
from tests.faults.shelters import GUESTS, WAYS
from tests.faults.workers import Worker

_STILL_DECIDED = "SELECT 1 FROM saga.saga WHERE id = %s AND applied = events"
_RETRYING = Outcome("retrying", error='{"type":"E"}', retry_in=3600.0, reason="E: no")
_CAUSES = ("deny", "sleep")


def _worker(arena: Arena, failpoints: str = "", concurrency: int = 4) -> Worker:
    modules = ["tests.faults.shelters"]
    return arena.worker(failpoints, modules=modules, concurrency=concurrency)


def _start(arena: Arena, guest: str, number: int = 1) -> list[UUID]:
    """Of each way one, whose steps that stall fail."""
    arena.ledger.busy["do", "stall"] = 1000
    return [arena.start(shelters.shelter, way, guest, key=f"{way} {number}").id for way in WAYS]


def _await_guests(arena: Arena, sagas: list[UUID]) -> None:
    """Until all wait that have no timeout around them, but for what refuses and is held back."""
    untimed = sagas[:2]
    families = [*untimed, *(child_id(saga, 2) for saga in untimed)]
    query = (
        "SELECT saga_id FROM saga.step WHERE name IN ('stall', 'letter', 'go')"
        " AND state IN ('retrying', 'waiting') AND saga_id = ANY(%s)"
    )
    arena.until(lambda: len(arena.records.query(query, families)) == 2, "the guests wait")


def _await_leaving(arena: Arena, sagas: list[UUID]) -> None:
    """Until each saga has seen why it leaves its scope."""

    def has_seen(saga: UUID) -> bool:
        causes = [row for row in arena.records.steps(saga).values() if row.name in _CAUSES]
        over = any(row.event is not None for row in causes)
        return over and bool(arena.records.query(_STILL_DECIDED, saga))

    arena.until(lambda: all(map(has_seen, sagas)), "all scopes are left")


def _check(arena: Arena, sagas: list[UUID]) -> None:
    """All have gone on, and nothing from within a scope stands."""
    ends = arena.until_over(*sagas)
    assert ends == dict.fromkeys(sagas, "completed")
    last = {saga: max(position for position, _ in arena.records.steps(saga)) for saga in sagas}
    standing = set(arena.ledger.applied) - set(arena.ledger.undone)
    denied = {entry.key for entry in arena.ledger.asked("do") if entry.name == "deny"}
    assert standing - denied == {f"{saga}:{position}" for saga, position in last.items()}


@pytest.mark.parametrize("guest", GUESTS)
def test_what_waits_is_stopped(guest: str, arena: Arena) -> None:
    gate = arena.ledger.hold("do", "deny", times=1000)
    sagas = _start(arena, guest)
    _worker(arena, concurrency=6)
    _await_guests(arena, sagas)
    gate.open()
    _check(arena, sagas)


@pytest.mark.parametrize("guest", ["stall", "nested"])
def test_what_runs_is_not_tried_again(guest: str, arena: Arena) -> None:
    gate = arena.ledger.hold("do", "stall", times=1000)
    sagas = _start(arena, guest)
    _worker(arena, concurrency=10)
    _await_leaving(arena, sagas)
    gate.open()
    _check(arena, sagas)
    assert {entry.attempt for entry in arena.ledger.entries} == {1}


@pytest.mark.parametrize("guest", ["stall", "nested"])
def test_its_worker_dies_while_it_runs_unwanted(guest: str, arena: Arena) -> None:
    gate = arena.ledger.hold("do", "stall", times=1000)
    sagas = _start(arena, guest)
    victim = _worker(arena, concurrency=10)
    _await_leaving(arena, sagas)
    victim.kill()
    gate.open()
    arena.lose_messages()
    _worker(arena)
    _check(arena, sagas)


@pytest.mark.parametrize("guest", GUESTS)
def test_its_worker_dies_after_a_landing(guest: str, arena: Arena) -> None:
    sagas: list[UUID] = []
    for landing in (5, 8, 11):
        sagas += _start(arena, guest, landing)
        (arena.folder / "points" / "P10").unlink(missing_ok=True)
        _worker(arena, f"P10=kill@{landing}").await_death()
        worker = _worker(arena)
        _check(arena, sagas)
        worker.kill()
    _worker(arena)


def test_a_child_that_was_busy_is_stopped_later(arena: Arena) -> None:
    saga = arena.start(shelters.shelter, "gather", "reader", key="one").id
    child = child_id(saga, 2)
    with arena.inline(code=own_registry(shelters)) as process:
        denied = _settle(arena, process, process.conductor.advance(saga))
        process.advance(child)
        assert arena.records.steps(child)[2, False].state == "waiting"
        with psycopg.connect(arena.database_url) as other:
            other.execute("SELECT FROM saga.saga WHERE id = %s FOR UPDATE", (child,))
            arena.carry_out(process, denied)
            assert arena.records.steps(saga)[3, False].state == "failed"
        assert arena.records.statuses()[child] == "running"
        _make_due(arena, saga)
        process.advance(saga)
        assert arena.records.statuses()[child] == "compensating"
    _worker(arena)
    _check(arena, [saga])


def test_what_runs_for_long_unwanted_is_looked_at_less_and_less(arena: Arena) -> None:
    saga = arena.start(shelters.shelter, "gather", "stall", key="one").id
    with arena.inline(code=own_registry(shelters)) as process, arena.sweeper() as sweeper:
        stalled = _settle(arena, process, process.conductor.advance(saga))
        process.run_step("deny", StepKey(saga, 3, undo=False))
        process.advance(saga)  # what was only recorded lands
        for wakes in range(1, 4):
            _make_due(arena, saga)
            arena.sweep_until(sweeper, lambda: _wakes(arena) == wakes, "it is looked at")  # noqa: B023
            process.advance(saga)
            assert _wakes(arena) == wakes
        process.conductor.settle(stalled, _RETRYING)
        assert arena.records.steps(saga)[2, False].state == "cancelled"
        arena.drive(process, saga)
    assert arena.records.statuses() == {saga: "completed"}
    _worker(arena)
    _check(arena, [saga])


def _settle(arena: Arena, process: WorkerProcess, work: Work | None) -> Work:
    """A booking has succeeded: the step that its thread goes on with."""
    assert work is not None
    _, receipt = arena.ledger.ask("do", "book", work.idempotency_key, work.attempt)
    following = process.conductor.settle(work, Outcome("succeeded", json.dumps(receipt)))
    assert following is not None
    return following


def _make_due(arena: Arena, saga: UUID) -> None:
    due = "UPDATE saga.saga SET due_at = now() WHERE id = %s AND due_at IS NOT NULL RETURNING id"
    assert arena.records.query(due, saga)


def _wakes(arena: Arena) -> int:
    return arena.records.query("SELECT wakes FROM saga.saga")[0].wakes
