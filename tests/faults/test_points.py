"""A worker dies, stops or stumbles at each point of a step's life, forward and backward."""

from uuid import UUID

import pytest

from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.workers import Worker

FORWARD = ["P12", "P5", "P6", "P7", "P8", "P9", "P10", "P3", "P4", "P11"]
BACKWARD = ["P12", "P5", "P6U", "P7U", "P8", "P9", "P10", "P15", "P16", "P3", "P4", "P11"]
SWEEPING = ["P13", "P18"]
ACTIONS = ["kill", "stop", "raise"]
EFFECTS = 5
SHORT = 1.5  # seconds of a lease that a test waits for


@pytest.mark.parametrize("point", FORWARD)
def test_killed_in_a_forward_step(arena: Arena, point: str) -> None:
    victim = arena.worker(f"{point}=kill", concurrency=1)
    saga = arena.start(sagas.voyage, key="one").id
    victim.await_death()
    arena.worker()
    _assert_completed(arena, saga, point)
    _assert_taken_over(arena, point)


@pytest.mark.parametrize("point", FORWARD)
def test_stopped_in_a_forward_step(arena: Arena, point: str) -> None:
    victim = arena.worker(f"{point}=stop", concurrency=1, lease=SHORT)
    saga = arena.start(sagas.voyage, key="one").id
    victim.await_stop()
    arena.worker()
    _assert_completed(arena, saga, point)
    _assert_taken_over(arena, point)
    _assert_comes_back(arena, victim)


@pytest.mark.parametrize("point", FORWARD)
def test_error_in_a_forward_step(arena: Arena, point: str) -> None:
    arena.worker(f"{point}=raise", concurrency=1)
    saga = arena.start(sagas.voyage, key="one").id
    _assert_completed(arena, saga, point)


@pytest.mark.parametrize("point", BACKWARD)
def test_killed_in_an_undo(arena: Arena, point: str) -> None:
    saga = _sail(arena)
    victim = arena.worker(f"{point}=kill", concurrency=1)
    arena.client.signal(saga, "fail")
    victim.await_death()
    arena.worker()
    _assert_compensated(arena, saga, point)
    _assert_taken_over(arena, point)


@pytest.mark.parametrize("point", BACKWARD)
def test_stopped_in_an_undo(arena: Arena, point: str) -> None:
    saga = _sail(arena)
    victim = arena.worker(f"{point}=stop", concurrency=1, lease=SHORT)
    arena.client.signal(saga, "fail")
    victim.await_stop()
    arena.worker()
    _assert_compensated(arena, saga, point)
    _assert_taken_over(arena, point)
    _assert_comes_back(arena, victim)


@pytest.mark.parametrize("point", BACKWARD)
def test_error_in_an_undo(arena: Arena, point: str) -> None:
    saga = _sail(arena)
    arena.worker(f"{point}=raise", concurrency=1)
    arena.client.signal(saga, "fail")
    _assert_compensated(arena, saga, point)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", SWEEPING)
def test_sweeper_at_work_on_a_forward_step(arena: Arena, point: str, action: str) -> None:
    arena.ledger.busy["do", "book"] = 1
    saga = arena.start(sagas.voyage, key="one").id
    victim = arena.worker(f"{point}={action}", lease=SHORT)
    _await_its_end(arena, victim, point, action)
    _assert_completed(arena, saga, point)
    assert arena.records.attempts(saga) >= 2
    if action == "stop":
        _assert_comes_back(arena, victim)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("point", SWEEPING)
def test_sweeper_at_work_on_an_undo(arena: Arena, point: str, action: str) -> None:
    saga = _sail(arena)
    arena.ledger.busy["undo", "charge"] = 1
    arena.client.signal(saga, "fail")
    victim = arena.worker(f"{point}={action}", lease=SHORT)
    _await_its_end(arena, victim, point, action)
    _assert_compensated(arena, saga, point)
    assert arena.records.attempts(saga, EFFECTS, undo=True) >= 2
    if action == "stop":
        _assert_comes_back(arena, victim)


def test_killed_after_each_landing_on_the_way_back(arena: Arena) -> None:
    started = [arena.start(sagas.trip, 4, fails=True, key=str(n)).id for n in range(4)]
    for saga in started:
        _reach(arena, saga, "compensating")
    for landing in range(1, 5):
        (arena.folder / "points" / "P9").unlink(missing_ok=True)
        arena.worker(f"P9=kill@{landing}", concurrency=1).await_death()
    arena.worker()
    assert set(arena.until_over().values()) == {"compensated"}
    assert len(arena.ledger.undone) == len(arena.ledger.applied) == 4 * len(started)


def _reach(arena: Arena, saga: UUID, status: str) -> None:
    """As far as that, and no further: its worker stops there."""
    with arena.inline() as process:
        work = process.conductor.advance(saga)
        while work is not None and not work.key.undo:
            work = process._land(work, process._attempt(work), may_go_on=True)  # pyright: ignore[reportPrivateUsage]
    assert arena.records.statuses()[saga] == status


def _await_its_end(arena: Arena, victim: Worker, point: str, action: str) -> None:
    """And then another one comes."""
    if action == "kill":
        victim.await_death()
    elif action == "stop":
        victim.await_stop()
    else:
        arena.until(lambda: arena.has_passed(point), "the fail point acts")
    arena.worker()


def _sail(arena: Arena) -> UUID:
    """A saga with all of its effects, that waits to be told to fail."""
    saga = arena.start(sagas.voyage, fails=True, key="one").id
    with arena.inline() as process:
        arena.drive(process, saga)
    assert len(arena.ledger.applied) == EFFECTS
    return saga


def _assert_taken_over(arena: Arena, point: str) -> None:
    """A lease was in the hands of the worker that died or stopped there."""
    if point in {"P6", "P7", "P8", "P6U", "P7U"}:
        assert arena.records.takeovers() >= 1


def _assert_completed(arena: Arena, saga: UUID, point: str) -> None:
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.has_passed(point)
    assert len(arena.ledger.applied) == EFFECTS
    assert not arena.ledger.undone


def _assert_compensated(arena: Arena, saga: UUID, point: str) -> None:
    assert arena.until_over(saga) == {saga: "compensated"}
    assert arena.has_passed(point)
    assert sorted(arena.ledger.undone) == sorted(arena.ledger.applied)


def _assert_comes_back(arena: Arena, victim: Worker) -> None:
    """It notices that it was taken for dead, and what it still does changes nothing."""
    victim.wake()
    arena.ready(victim)
