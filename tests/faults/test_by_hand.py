"""People act on sagas while workers die."""

import threading

import pytest

from saga import Conflict, SagaEnded
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.crowd import at_once
from tests.faults.storm import Storm, storm


@pytest.mark.parametrize("point", ["P7U", "P9", "P10", "P16"])
def test_killed_while_undoing_by_hand(arena: Arena, point: str) -> None:
    saga = arena.start(sagas.voyage, key="one").id
    with arena.inline() as process:
        arena.drive(process, saga)
    assert arena.records.statuses() == {saga: "completed"}
    arena.client.operator("me").compensate(saga, reason="a mistake")
    victim = arena.worker(f"{point}=kill", concurrency=1)
    victim.await_death()
    assert arena.has_passed(point)
    arena.worker()
    assert arena.until_over(saga) == {saga: "compensated"}
    assert sorted(arena.ledger.undone) == sorted(arena.ledger.applied)


def test_two_who_undo_at_once(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 3, key="one").id
    with arena.inline() as process:
        arena.drive(process, saga)
    answers = at_once(
        lambda number: arena.persist(
            arena.client.operator(f"person {number}").compensate, saga, reason="mine"
        )
    )
    assert answers.count(None) == 1
    assert all(answer is None or isinstance(answer, Conflict) for answer in answers)
    arena.worker(lease=STEADY)
    assert arena.until_over(saga) == {saga: "compensated"}
    assert len(arena.ledger.asked("undo")) == 3


def test_cancelled_at_any_moment(arena: Arena) -> None:
    handles = [arena.start(sagas.voyage, key=str(n)) for n in range(16)]
    expected: dict[object, str] = {}

    def cancel(number: int, killing: Storm) -> None:
        handle = handles[number]
        arena.until(
            lambda: len(arena.ledger.asked("do")) >= 3 * number or 3 * killing.strikes >= number,
            "some of the sagas are on their way, or could have been",
        )
        try:
            arena.persist(handle.cancel, by="me")
            expected[handle.id] = "cancelled"
        except SagaEnded:
            expected[handle.id] = "completed"

    arena.worker()
    with storm(lambda _: arena.replace_a_worker(), pause=0.8) as killing:
        threads = [threading.Thread(target=cancel, args=(n, killing)) for n in range(len(handles))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert arena.until_over() == expected
    assert "cancelled" in expected.values()


def test_undo_that_is_blocked_and_resolved(arena: Arena) -> None:
    """The others go on; when the outside world works again, a person has it tried again."""
    arena.ledger.out_of_order.add("ship")
    saga = arena.start(sagas.voyage, fails=True, key="one").id
    worker = arena.worker()
    arena.until(lambda: len(arena.ledger.applied) == 5, "all effects")
    arena.client.signal(saga, "fail")
    assert arena.until_over(saga) == {saga: "partly_compensated"}
    assert len(arena.ledger.undone) == 3
    worker.kill()
    arena.ledger.out_of_order.clear()
    for row in arena.records.query("SELECT position FROM saga.step WHERE state = 'blocked'"):
        arena.client.operator("me").resolve(saga, row.position, "retry")
    victim = arena.worker("P7U=kill", concurrency=1)
    victim.await_death()
    arena.worker()
    assert arena.until_over(saga) == {saga: "compensated"}
    assert len(arena.ledger.undone) == 5
