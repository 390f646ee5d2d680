"""Timers: never early by the database's clock, once, and all of them in the end."""

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from saga.engine.sweep.sweeper import Sweeper
from saga.storage.due import ring
from saga.wakeups.publisher import publisher_for
from tests.faults import effects
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.waiting import PATIENCE

_WAITING = """
SELECT saga_id, position, due_at FROM saga.step WHERE kind = 'timer' AND state = 'waiting'
"""
_FIRED = """
SELECT h.saga_id, h.position, h.at FROM saga.history h
  JOIN saga.step t ON t.saga_id = h.saga_id AND t.position = h.position
 WHERE t.kind = 'timer' AND h.before = 'waiting' AND h.after = 'succeeded'
"""
_ASLEEP = """
SELECT 1 FROM pg_stat_activity
 WHERE application_name = 'saga sweeper' AND datname = current_database() AND state = 'idle'
   AND query LIKE '%saga.delivery%'
"""
_MOVED = "SELECT 1 FROM saga.history WHERE before = %s AND after = %s"
_SOON = "UPDATE saga.step SET due_at = now() + interval '1.5 s' WHERE kind = 'timer'"
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _watch(arena: Arena) -> dict[tuple[UUID, int], datetime]:
    """When each timer is due, until all sagas have ended."""
    due: dict[tuple[UUID, int], datetime] = {}

    def over() -> bool:
        for row in arena.records.query(_WAITING):
            due[row.saga_id, row.position] = row.due_at
        return not arena.records.open()

    arena.until(over, "the sagas end")
    return due


def _assert_never_early(arena: Arena, due: dict[tuple[UUID, int], datetime]) -> None:
    fired = [((row.saga_id, row.position), row.at) for row in arena.records.query(_FIRED)]
    assert len(fired) == len(dict(fired)), "a timer has fired twice"
    seen = {key: at for key, at in fired if key in due}
    assert len(seen) >= 3
    for key, at in seen.items():
        assert due[key] <= at


def test_in_time_and_once(arena: Arena) -> None:
    arena.worker()
    arena.worker()
    arena.ready()
    for number in range(6):
        arena.start(sagas.naps, 3, 0.4 + number / 50, key=str(number))
    _assert_never_early(arena, _watch(arena))


@pytest.mark.parametrize("action", ["kill", "stop", "raise"])
@pytest.mark.parametrize("point", ["P13", "P18"])
def test_sweeper_at_work(arena: Arena, point: str, action: str) -> None:
    arena.worker(f"{point}={action}")
    arena.ready()
    for number in range(4):
        arena.start(sagas.naps, 3, 0.3, key=str(number))
    arena.until(lambda: arena.has_passed(point), "the fail point acts")
    arena.worker()
    _assert_never_early(arena, _watch(arena))


@pytest.mark.parametrize(
    ("saga", "args", "before", "after"),
    [
        (sagas.naps, (1, 0.3), "waiting", "succeeded"),
        (sagas.asks, (0.3,), "waiting", "failed"),
        (sagas.one, (1,), "retrying", "ready"),
    ],
    ids=["timer", "deadline", "retry"],
)
def test_what_is_planned_wakes_a_sweeper_that_sleeps(
    arena: Arena,
    monkeypatch: pytest.MonkeyPatch,
    saga: Any,
    args: tuple[Any, ...],
    before: str,
    after: str,
) -> None:
    publisher = publisher_for(arena.broker_url)
    sweeper = Sweeper(arena.database_url, publisher, interval=10 * PATIENCE)
    sweeper.start()
    with arena.inline() as process:
        monkeypatch.setenv(effects.URL, "127.0.0.1:1")  # no effect succeeds
        started = arena.start(saga, *args, key="one").id
        arena.until(lambda: arena.records.query(_ASLEEP), "it sleeps")
        process.advance(started)
        arena.until(lambda: arena.records.query(_MOVED, before, after), f"it is {after}")
    sweeper.stop()
    publisher.close()


def test_it_looks_as_often_as_something_may_be_due(arena: Arena) -> None:
    with arena.inline() as process, arena.sweeper() as sweeper:
        arena.until(lambda: sweeper.sweep() == 2.0, "it has led for a while, of nothing at all")
        process.advance(arena.start(sagas.naps, 1, 3600.0, key="long").id)
        assert sweeper.sweep() == 2.0, "who plans anything sooner says so"
        leased = process.conductor.advance(arena.start(sagas.one, 1, key="one").id)
        assert leased is not None
        assert sweeper.sweep() == 1.0, "its worker may die"
        arena.carry_out(process, leased)

        def is_soon() -> bool:
            arena.records.query(_SOON)
            return sweeper.sweep() == 0.5

        arena.until(is_soon, "it looks often when something is due soon")


def test_it_looks_often_for_a_while_when_it_was_told_of_something(arena: Arena) -> None:
    """Whoever told it says nothing of what is planned right after that."""

    def stays_awake() -> bool:
        ring(connection)
        sweeper.rest(PATIENCE)
        sweeper.sweep()
        sweeper.rest(0)
        return sweeper.sweep() == 0.5

    with (
        arena.sweeper() as sweeper,
        psycopg.connect(arena.database_url, autocommit=True) as connection,
    ):
        arena.until(lambda: sweeper.sweep() == 2.0, "it has led for a while")
        arena.until(stays_awake, "it looks again soon, though there was nothing the first time")
        arena.until(lambda: sweeper.sweep() == 2.0, "it rests again")


def test_due_while_all_workers_were_down(arena: Arena) -> None:
    worker = arena.worker()
    saga = arena.start(sagas.naps, 2, 1.0, key="one").id
    (waiting,) = arena.until(lambda: arena.records.query(_WAITING), "it sleeps")
    worker.kill()
    arena.until(
        lambda: arena.records.clock() > waiting.due_at.timestamp() + 0.5, "its time has come"
    )
    arena.worker()
    due = {(saga, waiting.position): waiting.due_at} | _watch(arena)
    fired = {(row.saga_id, row.position): row.at for row in arena.records.query(_FIRED)}
    assert len(fired) == 2
    assert all(fired[key] >= due[key] for key in due)


@pytest.mark.skipif(_FAKETIME is None, reason="libfaketime is not installed (Debian: faketime)")
@pytest.mark.parametrize("offset", ["+1d", "-1d"])
def test_one_worker_lives_on_another_day(arena: Arena, offset: str) -> None:
    arena.worker(
        environment={
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME": offset,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        },
        lease=STEADY,
    )
    arena.worker(lease=STEADY)
    arena.ready()
    before = arena.records.clock()
    naps = [arena.start(sagas.naps, 3, 0.4, key=str(n)) for n in range(4)]
    trips = arena.start_many(sagas.voyage, 6)
    _assert_never_early(arena, _watch(arena))
    after = arena.records.clock()
    assert set(arena.until_over(*trips).values()) == {"completed"}
    assert arena.records.takeovers() == 0
    for nap in naps:
        ends = nap.result(1)
        assert before <= ends[0] <= ends[1] <= ends[2] <= after
