"""A worker grows with what may run now, and shrinks without losing or doubling a step."""

import pytest

from saga import Handle
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.workers import Worker

CALM = {"AUTOSCALE_KEEPALIVE": "2"}


def scaled(worker: Worker, *, to: int) -> bool:
    """Whether it has come to so many slots, by its own account."""
    sizes = [line for line in worker.last_words().splitlines() if " slots become " in line]
    return bool(sizes) and sizes[-1].endswith(f"become {to}")


def scaling_worker(arena: Arena) -> Worker:
    return arena.worker(autoscale=[8, 1], environment=CALM)


def load(arena: Arena, number: int, width: int) -> list[Handle]:
    return [arena.start(sagas.fan, width, key=f"fan {n}") for n in range(number)]


def test_from_one_to_eight_and_back_with_a_worker_killed_on_the_way(arena: Arena) -> None:
    first, second = scaling_worker(arena), scaling_worker(arena)
    arena.ready()
    gate = arena.ledger.hold("do", "book", times=16)
    handles = load(arena, 4, width=30)
    arena.until(lambda: len(gate.arrived) == 16, "all 16 slots are in use")
    first.kill()
    third = scaling_worker(arena)
    gate.open()
    arena.until_over(*(handle.id for handle in handles))
    for worker in (second, third):
        arena.ready(worker)
    arena.until(lambda: scaled(second, to=1), "the worker shrinks")
    assert scaled(second, to=1)


def test_what_waits_for_time_or_a_person_needs_no_slots(arena: Arena) -> None:
    worker = scaling_worker(arena)
    arena.ready()
    waiting = [arena.start(sagas.asks, key=f"asks {n}") for n in range(12)]
    waiting += [arena.start(sagas.naps, 1, 600.0, key=f"naps {n}") for n in range(12)]
    done = arena.start(sagas.trip, 3, key="trip")
    arena.until_over(done.id)
    states = "SELECT count(*) AS n FROM saga.step WHERE state = 'waiting'"
    arena.until(lambda: arena.records.query(states)[0].n == 24, "all wait")
    arena.until(lambda: scaled(worker, to=1) or not _grew(worker), "it is small")
    for handle in waiting:
        arena.client.cancel(handle.id, reason="over", by="test")
    arena.until_over()


def _grew(worker: Worker) -> bool:
    return " slots become " in worker.last_words()


@pytest.mark.slow
def test_prefork_grows_and_shrinks(arena: Arena) -> None:
    worker = arena.worker(autoscale=[3, 1], environment=CALM, pool="prefork", lease=10.0)
    gate = arena.ledger.hold("do", "book", times=3)
    handles = load(arena, 3, width=4)
    arena.until(lambda: len(gate.arrived) == 3, "three processes are at work")
    gate.open()
    arena.until_over(*(handle.id for handle in handles))
    arena.until(lambda: scaled(worker, to=1), "the worker shrinks")
