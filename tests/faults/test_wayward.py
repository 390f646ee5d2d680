"""Sagas whose own code does what no saga should: they are parked, and nobody else suffers."""

import time
from typing import Any
from uuid import UUID

from tests.faults.arena import Arena
from tests.faults.code import wayward
from tests.faults.waiting import PATIENCE

MODULES = ("tests.faults.wayward",)
LIMIT = 1.0
_WINDOW, _RATE = 4.0, 60.0  # seconds, and sagas a second


def a_worker(arena: Arena, **options: Any) -> Any:
    return arena.worker(modules=MODULES, code_limit=LIMIT, **options)


def _parked(arena: Arena, saga: UUID) -> str:
    (row,) = arena.records.query("SELECT status, note FROM saga.saga WHERE id = %s", saga)
    return str(row.note) if row.status == "parked" else ""


def _others_go_on(arena: Arena, key: str) -> None:
    others = [arena.start(wayward.sums, 3, key=f"{key} {n}").id for n in range(10)]
    assert set(arena.until_over(*others).values()) == {"completed"}


def test_code_that_does_not_come_back_is_parked_with_its_line(arena: Arena) -> None:
    worker = a_worker(arena)
    stuck = arena.start(wayward.endless, key="one")
    _others_go_on(arena, "before")
    note = arena.until(lambda: _parked(arena, stuck.id), "it is parked")
    assert note.startswith("its code ran 1 s without awaiting: wayward.py:")
    assert note.endswith(" in endless")
    _others_go_on(arena, "after")
    process = arena.until(lambda: not worker.is_dead, "its worker lives")
    assert process
    assert arena.records.statuses()[stuck.id] == "parked"


def test_code_that_takes_no_notice_costs_its_worker_once(arena: Arena) -> None:
    worker = a_worker(arena, watchdog=1.0)
    stuck = arena.start(wayward.deaf, key="one")
    arena.until(lambda: _parked(arena, stuck.id), "it is parked")
    arena.until(lambda: worker.is_dead, "its worker ends itself")
    assert f"the code of saga {stuck.id} keeps a thread" in worker.log.read_text()
    survivor = a_worker(arena, watchdog=1.0)
    _others_go_on(arena, "after")
    assert not survivor.is_dead
    assert _parked(arena, stuck.id)


def test_code_that_stops_the_interpreter_is_parked_after_a_few_workers(arena: Arena) -> None:
    stuck = arena.start(wayward.frozen, key="one")

    def parked() -> str:
        if all(worker.is_dead for worker in arena.workers):
            a_worker(arena, watchdog=1.0)
        return _parked(arena, stuck.id)

    note = arena.until(parked, "it is parked", timeout=3 * PATIENCE)
    assert note == "3 workers were lost while its code ran"
    arena.until(lambda: any(worker.is_dead for worker in arena.workers), "the frozen end")
    a_worker(arena)
    _others_go_on(arena, "after")


def test_a_coroutine_that_cannot_be_thrown_away(arena: Arena) -> None:
    a_worker(arena)
    clinging = arena.start(wayward.clinging, key="one")
    arena.until(lambda: arena.records.steps(clinging.id), "it waits")
    clinging.cancel()
    assert arena.until_over(clinging.id) == {clinging.id: "cancelled"}
    _others_go_on(arena, "after")


def test_a_keyboard_interrupt_of_its_own(arena: Arena) -> None:
    worker = a_worker(arena)
    saga = arena.start(wayward.interrupting, key="one")
    note = arena.until(lambda: _parked(arena, saga.id), "it is parked")
    assert note == "its code raised KeyboardInterrupt"
    _others_go_on(arena, "after")
    assert not worker.is_dead


def test_it_goes_on_when_somebody_says_that_it_is_mended(arena: Arena) -> None:
    a_worker(arena)
    stuck = arena.start(wayward.endless, key="one")
    arena.until(lambda: _parked(arena, stuck.id), "it is parked")
    arena.client.operator("ann").retry(stuck.id, reason="mended")
    events = "SELECT count(*) AS times FROM saga.history WHERE saga_id = %s AND after = 'parked'"
    arena.until(lambda: arena.records.query(events, stuck.id)[0].times == 2, "its code ran again")


def test_much_computing_in_one_saga_leaves_the_others_their_share(arena: Arena) -> None:
    """Beside it they have half of the interpreter, and not what is left over."""
    arena.worker(modules=MODULES, code_limit=60.0, concurrency=8)
    arena.ready()
    _seconds(arena, "warm")
    alone = _seconds(arena, "alone")
    heavy = arena.start(wayward.heavy, 8.0 * alone, key="heavy")
    arena.until(lambda: arena.records.steps(heavy.id), "it has begun")
    beside = _seconds(arena, "beside")
    assert heavy.status() == "running", "it was beside"
    assert beside < 4 * alone, (alone, beside)


def _seconds(arena: Arena, key: str) -> float:
    since = time.monotonic()
    started = [arena.start(wayward.sums, 3, key=f"{key} {n}").id for n in range(60)]
    arena.until_over(*started)
    return time.monotonic() - since


def test_computing_in_one_saga_takes_nothing_from_what_the_others_get_done(arena: Arena) -> None:
    """As long as there is time for all: sagas that come at a steady rate end at that rate."""
    for _ in range(2):
        arena.worker(modules=MODULES, code_limit=60.0, concurrency=8)
    arena.ready()
    _seconds(arena, "warm")
    alone = _done_at_a_steady_rate(arena, "alone")
    heavy = arena.start(wayward.heavy, 60.0, key="heavy")
    arena.until(lambda: arena.records.steps(heavy.id), "it has begun")
    beside = _done_at_a_steady_rate(arena, "beside")
    assert heavy.status() == "running", "it was beside"
    assert beside > 0.8 * alone, (alone, beside)
    heavy.cancel()


def _done_at_a_steady_rate(arena: Arena, key: str) -> int:
    """How many of those that were started in a few seconds have ended by then."""
    since, started = time.monotonic(), 0
    while (now := time.monotonic() - since) < _WINDOW:
        if started < now * _RATE:
            arena.start(wayward.sums, 3, key=f"{key} {started}")
            started += 1
        else:
            time.sleep(0.002)
    query = "SELECT count(*) AS done FROM saga.saga WHERE key LIKE %s AND status = 'completed'"
    return int(arena.records.query(query, f"{key} %")[0].done)
