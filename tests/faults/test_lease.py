"""A living worker keeps its lease whatever else breaks, and without a lease it takes up nothing."""

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from saga.core.rows import StepKey
from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.proxy import proxy
from tests.faults.workers import Worker

_LEASE = 6.0
"""Seconds: tests wait for longer, and a busy machine stalls for less."""
_CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'saga presence'
"""

_GRANTED_TO_THE_DEAD = """
SELECT h.saga_id, h.position FROM saga.history h JOIN saga.worker w ON w.id = h.worker_id
 WHERE h.after = 'running' AND h.at > w.ended_at + interval '0.3 seconds'
"""


def test_cut_presence_connection(arena: Arena) -> None:
    """With the lease of everyday, whose renewals are far apart."""
    gate = arena.ledger.hold("do", "book", when="after")
    saga = arena.start(sagas.trip, 1, key="one").id
    arena.worker(lease=20.0)
    arena.until(lambda: gate.arrived, "the effect")
    seen = arena.records.clock()
    assert arena.records.query(_CUT)
    arena.until(lambda: arena.records.seconds_since(seen) > 3, "a sweeper would have noticed")
    gate.open()
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.records.attempts(saga) == 1
    assert arena.records.query(_CUT)


def test_half_open_presence_connection(arena: Arena) -> None:
    """The server does not know yet that the connection is dead, and keeps its lock."""
    gate = arena.ledger.hold("do", "book", when="after")
    saga = arena.start(sagas.trip, 1, key="one").id
    with proxy(arena.database_url) as between:
        far = {"SAGA_DATABASE_URL": between.url(arena.database_url)}
        worker = arena.worker(environment=far, lease=_LEASE)
        arena.until(lambda: gate.arrived, "the effect")
        assert between.cut_clients() >= 3
        _outlast_its_lease(arena)
        gate.open()
        assert arena.until_over(saga) == {saga: "completed"}
        assert arena.records.attempts(saga) == 1
        assert arena.records.live_workers() == [worker.pid]
        arena.check()


def test_presence_connection_is_cut_and_refused_anew(arena: Arena) -> None:
    """All other connections live: the worker would go on, and others with the same steps."""
    with proxy(arena.database_url) as between:
        far = arena.worker(
            environment={"SAGA_DATABASE_URL": between.url(arena.database_url)}, lease=STEADY
        )
        near = arena.worker(lease=STEADY)
        arena.ready()
        numbers = itertools.count()

        def sail(is_enough: Callable[[], object], what: str) -> None:
            def one_more() -> object:
                arena.start(sagas.voyage, key=str(next(numbers)))
                return is_enough()

            arena.until(one_more, what)

        sail(lambda: _has_worked(arena, far) and _has_worked(arena, near), "both work")
        assert between.forbid("saga presence") == 1
        sail(lambda: arena.records.live_workers() == [near.pid], "it is taken for dead")
        seen = arena.records.clock()
        sail(lambda: arena.records.seconds_since(seen) > 2, "it would go on")
        assert set(arena.until_over().values()) == {"completed"}
        assert not arena.records.query(_GRANTED_TO_THE_DEAD)
        between.forbid_nothing()
        arena.ready()
        sail(lambda: _has_worked(arena, far), "it works under a new name")
        assert set(arena.until_over().values()) == {"completed"}
        arena.check()


def _has_worked(arena: Arena, worker: Worker) -> bool:
    return bool(
        arena.records.query(
            "SELECT 1 FROM saga.history h JOIN saga.worker w ON w.id = h.worker_id"
            " WHERE w.pid = %s AND w.ended_at IS NULL LIMIT 1",
            worker.pid,
        )
    )


def test_renewer_dies_alone(arena: Arena) -> None:
    worker = arena.worker("P17=raise", lease=_LEASE)
    arena.until(lambda: arena.has_passed("P17"), "the fail point acts")
    _outlast_its_lease(arena)
    assert arena.records.live_workers() == [worker.pid]
    done = arena.start_many(sagas.voyage, 3)
    assert set(arena.until_over(*done).values()) == {"completed"}
    assert arena.records.takeovers() == 0


@pytest.mark.parametrize("verb", ["do", "undo"])
def test_renewer_dies_alone_at_an_effect(arena: Arena, verb: str) -> None:
    gate = arena.ledger.hold(verb, "book", when="after")
    arena.worker("P17=raise@2", lease=_LEASE)
    saga = arena.start(sagas.trip, 1, fails=True, key="one").id
    arena.until(lambda: gate.arrived, "the effect")
    arena.until(lambda: arena.has_passed("P17"), "the fail point acts")
    _outlast_its_lease(arena)
    gate.open()
    assert arena.until_over(saga) == {saga: "compensated"}
    assert arena.records.attempts(saga, undo=verb == "undo") == 1
    assert arena.ledger.undone == arena.ledger.applied == [f"{saga}:1"]


def test_takes_up_nothing_without_a_lease(arena: Arena) -> None:
    saga = arena.start(sagas.fan, 2, key="one").id
    second = StepKey(saga, 2, undo=False)
    with arena.inline() as process:
        first = process.conductor.advance(saga)
        process.presence.renewed_at -= 61.0
        process.run_step("book", second)
        assert arena.records.steps(saga)[2, False].state == "ready"
        arena.carry_out(process, first)
        assert arena.records.steps(saga)[1, False].state == "succeeded"
    arena.worker()
    assert arena.until_over(saga) == {saga: "completed"}


def test_takes_up_nothing_after_it_has_signed_off(arena: Arena) -> None:
    """And nobody waits for a lease that will not come."""
    saga = arena.start(sagas.fan, 2, key="one").id
    with arena.inline() as process:
        first = process.conductor.advance(saga)
        process.presence.stop()
        assert process.conductor.claim(StepKey(saga, 2, undo=False), None) is None
        arena.carry_out(process, first)
        steps = arena.records.steps(saga)
        assert [steps[n, False].state for n in (1, 2)] == ["succeeded", "ready"]
    arena.worker()
    assert arena.until_over(saga) == {saga: "completed"}


def test_keeps_a_step_whose_saga_has_news_that_cannot_be_written(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread catches up with the saga of its step; what came meanwhile is its to decide upon."""
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline("sagas") as other:
        other.advance(saga)
    with arena.inline() as process, psycopg.connect(arena.database_url) as person:
        decider = process.conductor._advancer._decider  # pyright: ignore[reportPrivateUsage]
        catch_up = decider.catch_up

        def catch_up_and_hear_more(*known: Any) -> bool:
            monkeypatch.undo()
            arena.client.signal(saga, "hurry")
            person.execute("SELECT FROM saga.saga WHERE id = %s FOR UPDATE", (saga,))
            assert process.conductor.advance(saga) is None, "another thread is at it"
            return catch_up(*known)

        monkeypatch.setattr(decider, "catch_up", catch_up_and_hear_more)
        work = process.conductor.claim(StepKey(saga, 1, undo=False), None)
        person.rollback()
        assert process.conductor.release_strays() == 0
        arena.carry_out(process, work)
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.records.attempts(saga) == 1


def test_redis_hangs_longer_than_the_lease(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    arena.worker(lease=_LEASE)
    arena.worker(lease=_LEASE)
    arena.ready()
    os.kill(own_stack.redis.pid, signal.SIGSTOP)
    try:
        started = [arena.start(sagas.voyage, key=str(n)).id for n in range(4)]
        _outlast_its_lease(arena)
        assert len(arena.records.live_workers()) == 2
    finally:
        os.kill(own_stack.redis.pid, signal.SIGCONT)
    assert set(arena.until_over(*started).values()) == {"completed"}
    assert arena.records.takeovers() == 0


def _outlast_its_lease(arena: Arena) -> None:
    seen = arena.records.clock()
    arena.until(lambda: arena.records.seconds_since(seen) > _LEASE + 1, "it would be over")
