"""SIGTERM: a worker finishes what it can in its time, hands over the rest at once, and exits."""

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress

import psutil
import pytest

from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import Arena
from tests.faults.code import sagas

LONG = 60.0
"""Seconds of lease: nobody takes a step over because of it."""


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_it_finishes_the_step_at_hand(arena: Arena, pool: str) -> None:
    # One process that has the step, and no other that says the same.
    slots = 1 if pool == "prefork" else 4
    worker = arena.worker(lease=LONG, drain=30.0, pool=pool, concurrency=slots)
    gate = arena.ledger.hold("do", "book")
    saga = arena.start(sagas.trip, 3, key="trip").id
    arena.until(lambda: gate.arrived, "the step is at work")
    worker.terminate()
    said = 1 if pool == "threads" else 2  # the worker, and the process that has the step
    arena.until(lambda: worker.last_words().count("takes up no more steps") >= said, "it has heard")
    gate.open()
    arena.until(lambda: worker.is_dead, "the worker exits")
    assert worker.process.returncode == 0, worker.last_words()
    first = arena.records.steps(saga)[1, False]
    assert (first.state, first.attempt) == ("succeeded", 1)
    assert len(arena.ledger.asked("do")) == 1, "it takes up no further step"
    arena.worker(lease=LONG)
    arena.until_over(saga)
    assert len(arena.ledger.asked("do")) == 3


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_what_does_not_finish_in_time_is_handed_over_at_once(arena: Arena, pool: str) -> None:
    worker = arena.worker(lease=LONG, drain=0.5, pool=pool)
    gate = arena.ledger.hold("do", "book")
    saga = arena.start(sagas.trip, 2, key="trip").id
    arena.until(lambda: gate.arrived, "the step is at work")
    worker.terminate()
    arena.until(lambda: worker.is_dead, "the worker exits")
    assert worker.process.returncode == 0, worker.last_words()
    assert "are handed over" in worker.last_words()
    assert "Traceback" not in worker.last_words()
    arena.worker(lease=LONG)
    arena.until_over(saga)  # in far less than the lease
    assert arena.records.steps(saga)[1, False].attempt == 2


@pytest.mark.parametrize(
    ("pool", "number"),
    [("prefork", signal.SIGTERM), ("prefork", signal.SIGQUIT), ("solo", signal.SIGQUIT)],
)
def test_a_process_that_is_ended_does_not_know_how_its_step_ends(
    arena: Arena, pool: str, number: signal.Signals
) -> None:
    worker = arena.worker(lease=LONG, drain=30.0, pool=pool, concurrency=1)
    gate = arena.ledger.hold("do", "book", when="after")
    saga = arena.start(sagas.trip, 2, key="trip").id
    arena.until(lambda: gate.arrived, "the step has had its effect")
    if number == signal.SIGTERM:
        os.killpg(worker.pid, number)  # as systemd does
    else:
        os.kill(worker.pid, number)  # a cold shutdown
    arena.until(lambda: worker.is_dead, "the worker exits")
    gate.open()
    arena.worker(lease=LONG)
    assert arena.until_over(saga) == {saga: "completed"}
    assert arena.records.steps(saga)[1, False].attempt == 2


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_silent_postgres_does_not_hold_up_a_stop(
    own_arena: Arena, own_stack: EmbeddedStack, pool: str
) -> None:
    worker = own_arena.worker(drain=0.5, pool=pool)
    saga = own_arena.start(sagas.trip, 2, key="trip").id
    own_arena.until_over(saga)
    with _silent(psutil.Process(own_stack.postgres.pid)):
        worker.terminate()
        own_arena.until(lambda: worker.is_dead, "the worker exits")
    assert worker.process.returncode == 0, worker.last_words()


@contextmanager
def _silent(first: psutil.Process) -> Generator[None]:
    """A server that lives and does not answer."""
    first.suspend()  # so it has no more children than these
    family = [first, *first.children()]
    for process in family[1:]:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.resume()
