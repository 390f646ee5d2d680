"""A client dies at each point of a start and of a signal."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest

from saga import SagaEnded
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.workers import ROOT

ACTIONS = ["kill", "stop", "raise"]


@contextmanager
def _struck(arena: Arena, point: str, action: str, *arguments: str) -> Generator[None]:
    """A client at the fail point: dead, stopped for as long as the block lasts, or told of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.caller", *arguments],
        cwd=ROOT,
        env=arena.environment(f"{point}={action}") | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    try:
        arena.until(lambda: arena.has_passed(point), "the fail point acts")
        if action == "stop":
            os.waitpid(process.pid, os.WUNTRACED)
        yield
        if action == "stop":
            process.send_signal(signal.SIGCONT)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == {"kill": -signal.SIGKILL, "stop": 0, "raise": 1}[action], told


@pytest.mark.parametrize("action", ACTIONS)
def test_struck_before_the_start_commits(arena: Arena, action: str) -> None:
    with _struck(arena, "P1", action, "start", "the key"):
        assert not arena.records.statuses()
        arena.worker()
        saga = arena.start(sagas.trip, 2, key="the key").id
        assert arena.until_over() == {saga: "completed"}
    assert arena.records.statuses() == {saga: "completed"}


@pytest.mark.parametrize("action", ACTIONS)
def test_struck_before_the_reply(arena: Arena, action: str) -> None:
    with _struck(arena, "P2", action, "start", "the key"):
        arena.worker(lease=STEADY)
        (saga,) = arena.records.statuses()
        assert arena.start(sagas.trip, 2, key="the key").id == saga
        assert arena.until_over() == {saga: "completed"}
    assert arena.records.statuses() == {saga: "completed"}
    assert len(arena.ledger.applied) == len(arena.ledger.asked("do")) == 2


@pytest.mark.parametrize("action", ACTIONS)
def test_struck_after_the_signal_was_stored(arena: Arena, action: str) -> None:
    saga = arena.start(sagas.letters, 2, key="one")
    with _struck(arena, "P14", action, "signal", str(saga.id), "d1"):
        assert saga.signal("letter", "once", dedup_id="d1") is False
        arena.lose_messages()
        arena.worker()
        assert saga.signal("letter", "twice", dedup_id="d2") is True
        assert arena.until_over() == {saga.id: "completed"}
    assert saga.result(1) == ["once", "twice"]
    with pytest.raises(SagaEnded):
        saga.signal("letter", "too late")


@pytest.mark.parametrize("action", ACTIONS)
def test_struck_after_the_signal_that_turns_a_saga_round(arena: Arena, action: str) -> None:
    saga = arena.start(sagas.voyage, fails=True, key="one").id
    arena.worker()
    arena.until(lambda: len(arena.ledger.applied) == 5, "all effects")
    with _struck(arena, "P14", action, "signal", str(saga), "d1", "fail"):
        assert arena.until_over() == {saga: "compensated"}
    assert sorted(arena.ledger.undone) == sorted(arena.ledger.applied)


def test_start_in_a_transaction_that_is_rolled_back(arena: Arena) -> None:
    with psycopg.connect(arena.database_url) as connection:
        arena.client.start(sagas.trip, 1, key="no", connection=connection)
        connection.rollback()
        kept = arena.client.start(sagas.trip, 1, key="yes", connection=connection).id
    assert list(arena.records.statuses()) == [kept]
    arena.worker()
    assert arena.until_over() == {kept: "completed"}


def test_same_key_at_once(arena: Arena) -> None:
    started: list[object] = []
    together = threading.Barrier(10)

    def start() -> None:
        together.wait()
        started.append(arena.client.start(sagas.trip, 1, key="the key").id)

    threads = [threading.Thread(target=start) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 10
    assert set(started) == set(arena.records.statuses())
