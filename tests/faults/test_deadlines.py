"""A signal that meets the deadline of its wait: row, code and what people see say the same."""

import threading
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from saga import Handle, SagaEnded
from saga.engine.worker.process import WorkerProcess
from saga.storage.queries import SagaDetail, detail, reader, snapshot
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.crowd import at_once

_PASSED = """
UPDATE saga.step SET due_at = now(), deadline = now(), asked_at = asked_at - interval '1 minute'
 WHERE saga_id = %s AND deadline < now() + interval '1 minute'
"""
_WAITS = "SELECT 1 FROM pg_locks WHERE NOT granted"
_WAITING = "SELECT 1 FROM saga.step WHERE saga_id = %s"
_NEAR = """
SELECT pg_sleep(greatest(0, extract(epoch FROM deadline - clock_timestamp()) + %s))
  FROM saga.step WHERE saga_id = %s
"""
_EARLY = (-0.3, -0.02, -0.01, 0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 1.5)
"""Seconds after the deadline: the first letter is in time and the last one is not."""


def _shown(arena: Arena, saga: UUID) -> SagaDetail:
    engine = reader(arena.database_url, pool_size=1)
    try:
        with snapshot(engine) as connection:
            return detail(connection, saga)
    finally:
        engine.dispose()


def _assert_one_truth(arena: Arena, handle: Handle) -> bool:
    """Whether the code got the letter."""
    shown, got = _shown(arena, handle.id), handle.result(1)
    (wait,) = shown.steps
    taken = [row.consumed_by for row in shown.signals]
    if got is None:
        assert (wait.state, wait.error["type"]) == ("failed", "TimeoutError")
        assert taken in ([], [None])
    else:
        assert (wait.state, wait.error, taken) == ("succeeded", None, [1])
    return got is not None


def _begun(arena: Arena, process: WorkerProcess, saga: Any = sagas.expects) -> Handle:
    handle = arena.start(saga, 30.0, key="one")
    process.advance(handle.id)
    return handle


def _pass_the_deadline(arena: Arena, handle: Handle) -> None:
    arena.records.query(_PASSED, handle.id)


@pytest.mark.parametrize("is_sent", [True, False])
def test_deadline_of_a_wait_whose_signal_nobody_has_applied(arena: Arena, is_sent: bool) -> None:
    with arena.inline() as process, arena.sweeper() as sweeper:
        handle = _begun(arena, process)
        if is_sent:
            handle.signal("letter", "hello")
        _pass_the_deadline(arena, handle)
        arena.until(lambda: sweeper.sweep() and _is_looked_at(arena, handle), "it is looked at")
        process.advance(handle.id)
        assert _assert_one_truth(arena, handle) is is_sent


def _is_looked_at(arena: Arena, handle: Handle) -> bool:
    row = arena.records.steps(handle.id)[1, False]
    return row.wakes > 0 or row.state == "failed"


def test_signal_that_is_being_accepted_when_the_deadline_passes(arena: Arena) -> None:
    """What commits while the sweeper waits for the saga's row is seen by it."""
    with arena.inline() as process, arena.sweeper() as sweeper:
        handle = _begun(arena, process)
        arena.until(lambda: sweeper.sweep() > 0, "it leads")
        _pass_the_deadline(arena, handle)
        with psycopg.connect(arena.database_url) as sender:
            sender.execute("SELECT saga.signal(%s, 'letter', '1')", (handle.id,))
            sweeping = threading.Thread(target=sweeper.sweep)
            sweeping.start()
            arena.until(lambda: arena.records.query(_WAITS), "the sweeper waits")
            sender.commit()
            sweeping.join()
        arena.until(lambda: sweeper.sweep() and _is_looked_at(arena, handle), "it is looked at")
        process.advance(handle.id)
        assert _assert_one_truth(arena, handle)


def test_of_two_waits_the_other_took_the_letter(arena: Arena) -> None:
    with arena.inline() as process, arena.sweeper() as sweeper:
        handle = _begun(arena, process, sagas.expects_two)
        handle.signal("letter", "first")
        _pass_the_deadline(arena, handle)
        arena.until(lambda: sweeper.sweep() and _second(arena, handle).wakes, "it is postponed")
        process.advance(handle.id)
        _pass_the_deadline(arena, handle)
        arena.until(lambda: sweeper.sweep() and _second(arena, handle).settled_at, "it gives up")
        process.advance(handle.id)
    assert handle.result(1) == ["first", None]
    assert [row.state for row in _shown(arena, handle.id).steps] == ["succeeded", "failed"]


def _second(arena: Arena, handle: Handle) -> Any:
    return arena.records.steps(handle.id)[2, False]


def test_many_at_the_instant_of_their_deadline(arena: Arena) -> None:
    for _ in range(2):
        arena.worker()
    arena.ready()
    handles: list[Handle] = []

    def send(number: int) -> None:
        with psycopg.connect(arena.database_url, autocommit=True) as connection:
            for after in _EARLY:
                handle = arena.start(sagas.expects, 1.0, key=f"{number} {after}")
                handles.append(handle)
                asked = partial(connection.execute, _WAITING, (handle.id,))
                arena.until(lambda asked=asked: asked().fetchone(), "it waits")
                connection.execute(_NEAR, (after, handle.id))
                with suppress(SagaEnded):
                    handle.signal("letter", after)

    assert at_once(send, 8) == [None] * 8
    assert set(arena.until_over().values()) == {"completed"}
    assert {_assert_one_truth(arena, handle) for handle in handles} == {True, False}
