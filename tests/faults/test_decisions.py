"""People who decide at the same moment, and at the last one."""

import threading
from uuid import UUID

from saga import Conflict
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.crowd import at_once


def test_approve_and_reject_at_once(arena: Arena) -> None:
    saga = arena.start(sagas.asks, key="one")
    arena.worker()
    arena.until(lambda: arena.records.steps(saga.id), "it asks")

    def decide(number: int) -> str:
        name = f"person {number}"
        saga.approve(by=name) if number % 2 else saga.reject(by=name)
        return name

    answers = at_once(decide)
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    (winner,) = [answer for answer in answers if isinstance(answer, str)]
    assert all(isinstance(answer, (str, Conflict)) for answer in answers)
    result = saga.result(1)
    assert result["by"] == winner
    assert bool(arena.ledger.applied) is result["approved"]
    audited = arena.records.query("SELECT actor, refused FROM saga.audit")
    assert [row.actor for row in audited if row.refused is None] == [winner]
    assert len({row.actor for row in audited}) == len(audited) == len(answers)


def test_approve_at_the_instant_of_the_timeout(arena: Arena) -> None:
    arena.worker()
    arena.ready()
    handles = [arena.start(sagas.asks, 0.7, key=str(n)) for n in range(12)]
    accepted: dict[UUID, bool] = {}

    def approve_at_the_last_moment(number: int) -> None:
        handle = handles[number]
        arena.until(lambda: arena.records.steps(handle.id), "it asks")
        early = number * 0.01
        arena.until(
            lambda: arena.records.query(
                "SELECT 1 WHERE clock_timestamp() > (SELECT coalesce(due_at, '-infinity') "
                "FROM saga.step WHERE saga_id = %s AND position = 1) - make_interval(secs => %s)",
                handle.id,
                early,
            ),
            "its time is up",
        )
        try:
            handle.approve(by="me")
            accepted[handle.id] = True
        except Conflict:
            accepted[handle.id] = False

    threads = [
        threading.Thread(target=approve_at_the_last_moment, args=(n,)) for n in range(len(handles))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    arena.until_over()
    for handle in handles:
        result = handle.result(1)
        assert result["approved"] is accepted[handle.id]
        assert result["timed_out"] is not accepted[handle.id]
        assert (f"{handle.id}:2" in arena.ledger.applied) is accepted[handle.id]


def test_nothing_happens_before_it_is_approved(arena: Arena) -> None:
    saga = arena.start(sagas.asks, key="one")
    victim = arena.worker(concurrency=1)
    arena.until(lambda: arena.records.steps(saga.id), "it asks")
    victim.kill()
    arena.worker()
    arena.until(lambda: arena.records.live_workers() == [arena.workers[1].pid], "the other died")
    assert not arena.ledger.applied
    saga.approve(by="me")
    assert arena.until_over(saga.id) == {saga.id: "completed"}
    assert arena.ledger.applied == [f"{saga.id}:2"]
