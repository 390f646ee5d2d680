"""What else may happen to a worker's processes."""

import os
import signal
from uuid import UUID

import psutil

from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.waiting import PATIENCE


def test_zombie(arena: Arena) -> None:
    """Stopped in the middle of an effect, beyond its lease, and woken when another has gone on."""
    gate = arena.ledger.hold("do", "book", when="after")
    saga = arena.start(sagas.trip, 3, key="one").id
    zombie = arena.worker()
    arena.until(lambda: gate.arrived, "the effect")
    zombie.stop()
    arena.worker(lease=10.0)  # it keeps its own, and soon unseats a sweeper that is stopped
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.records.takeovers() == 1
    zombie.wake()
    gate.open()
    (late,) = arena.until(arena.records.rejected, "the late result is kept")
    assert (late.position, late.attempt) == (1, 1)
    assert arena.records.history(saga)[-2].after == "completed"
    arena.ready(zombie)
    more = arena.start_many(sagas.voyage, 4)
    assert set(arena.until_over(*more).values()) == {"completed"}


def test_zombie_in_an_undo(arena: Arena) -> None:
    gate = arena.ledger.hold("undo", "book", when="after")
    saga = arena.start(sagas.trip, 2, fails=True, key="one").id
    zombie = arena.worker()
    arena.until(lambda: gate.arrived, "the undo")
    zombie.stop()
    arena.worker()
    assert arena.until_over(saga) == {saga: "compensated"}
    zombie.wake()
    gate.open()
    (late,) = arena.until(arena.records.rejected, "the late result is kept")
    assert (late.position, late.undo, late.attempt) == (2, True, 1)
    assert arena.ledger.undone == [f"{saga}:2", f"{saga}:1"]


def test_child_of_a_prefork_pool_is_killed(arena: Arena) -> None:
    gate = arena.ledger.hold("do", "book", when="after")
    worker = arena.worker(pool="prefork", concurrency=2, lease=STEADY)
    saga = arena.start(sagas.trip, 3, key="one").id
    arena.until(lambda: gate.arrived, "the effect")
    (row,) = arena.records.query(
        "SELECT w.pid FROM saga.step t JOIN saga.worker w ON w.id = t.worker_id "
        "WHERE t.state = 'running'"
    )
    assert psutil.Process(row.pid).ppid() == worker.pid
    os.kill(row.pid, signal.SIGKILL)
    gate.open()
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.records.takeovers() == 1
    assert not worker.is_dead


def test_warm_shutdown_hands_over(arena: Arena) -> None:
    """Nothing is in doubt after a worker was asked to stop."""
    first = arena.worker(lease=STEADY)
    arena.ready()
    started = arena.start_many(sagas.voyage, 10)
    first.terminate()
    arena.worker(lease=STEADY)
    assert set(arena.until_over(*started).values()) == {"completed"}
    assert arena.records.takeovers() == 0
    assert first.process.wait() == 0


def test_a_step_that_kills_its_worker(arena: Arena) -> None:
    """It is given up after so many, and undone: what it does to others is bounded."""
    saga = arena.start(sagas.deadly, key="one").id
    first = arena.worker()

    def over() -> bool:
        if all(worker.is_dead for worker in arena.workers):
            arena.worker()
        return not arena.records.open()

    arena.until(over, "it is given up", timeout=3 * PATIENCE)
    assert first.is_dead
    assert arena.records.statuses() == {saga: "compensated"}
    error = arena.records.steps(saga)[2, False].error
    assert (error["type"], error["in_doubt"]) == ("WorkerLost", True)
    assert arena.records.attempts(saga, 2) == len(arena.workers) == 4


def test_a_step_of_one_attempt_outlives_its_worker(arena: Arena) -> None:
    gate = arena.ledger.hold("do", "look", when="after")
    saga = arena.start(sagas.looks, key="one").id
    first = arena.worker()
    arena.until(lambda: gate.arrived, "it is at it")
    first.kill()
    gate.open()
    arena.worker()
    assert arena.until_over(saga) == {saga: "completed"}
    assert (arena.records.takeovers(), arena.records.attempts(saga)) == (1, 2)


def test_an_undo_that_kills_its_worker(arena: Arena) -> None:
    """It becomes a work item after so many."""
    saga = arena.start(sagas.mined, key="one").id
    arena.worker()

    def over() -> bool:
        if all(worker.is_dead for worker in arena.workers):
            arena.worker()
        return not arena.records.open()

    arena.until(over, "it is given up", timeout=3 * PATIENCE)
    assert arena.records.statuses() == {saga: "partly_compensated"}
    assert arena.records.steps(saga)[1, True].state == "blocked"
    assert arena.records.steps(saga)[1, True].error["type"] == "WorkerLost"
    assert arena.records.attempts(saga, 1, undo=True) == sagas.TWICE.max_losses + 1
    assert len(arena.workers) == sagas.TWICE.max_losses + 1


def test_an_undo_that_never_answers(arena: Arena) -> None:
    gate = arena.ledger.hold("undo", "lend", times=100)
    saga = arena.start(sagas.loan, key="one").id
    arena.worker()
    assert arena.until_over(saga) == {saga: "partly_compensated"}
    assert arena.records.attempts(saga, 1, undo=True) == sagas.TWICE.max_attempts + 1
    assert len(gate.arrived) == sagas.TWICE.max_attempts


def test_a_probe_that_never_answers(arena: Arena) -> None:
    arena.ledger.hold("find", "bury", times=100)
    saga = arena.start(sagas.treasure, key="one").id
    arena.worker()
    arena.until(lambda: blocked(arena, saga), "a person is asked")
    assert arena.records.attempts(saga) <= sagas.TWICE.max_attempts + 2
    assert len(arena.ledger.asked("do")) == 1


def blocked(arena: Arena, saga: UUID) -> bool:
    steps = arena.records.steps(saga)
    return bool(steps) and steps[1, False].state == "blocked"


def test_a_step_that_exits(arena: Arena) -> None:
    saga = arena.start(sagas.leaving, key="one").id
    worker = arena.worker()
    assert arena.until_over(saga) == {saga: "compensated"}
    assert not worker.is_dead
    assert arena.records.steps(saga)[2, False].error["type"] == "SystemExit"
