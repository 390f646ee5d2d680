"""Postgres goes away and comes back, and nobody restarts a worker for it."""

import random

from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import Arena
from tests.faults.code import sagas
from tests.faults.storm import storm

_BACKENDS = """
SELECT pid FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'saga %%' ORDER BY pid
"""


def test_restarted_immediately(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    workers = [arena.worker(), arena.worker()]
    arena.ready()
    started = [arena.start(sagas.naps, 4, 0.2, key=f"nap {n}").id for n in range(4)]
    for round_ in range(3):
        done = len(arena.ledger.applied)
        started += [arena.start(sagas.voyage, key=f"{round_} {n}").id for n in range(5)]
        started += [arena.start(sagas.entries, 3, key=f"{round_} {n}").id for n in range(3)]
        arena.until(lambda done=done: len(arena.ledger.applied) > done + 4, "they go on")
        own_stack.postgres.restart(immediate=True)
    assert set(arena.until_over().values()) == {"completed"}
    assert len(arena.records.statuses()) == len(started)
    assert not any(worker.is_dead for worker in workers)
    assert set(arena.entered().values()) == {1}


def test_worker_that_starts_while_it_is_away(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    saga = arena.start(sagas.voyage, key="one").id
    own_stack.postgres.kill()
    worker = arena.worker()
    arena.until(lambda: "does not answer: " in worker.last_words(), "it tells that it waits")
    own_stack.postgres.start()
    assert arena.until_over(saga) == {saga: "completed"}


def test_connections_are_cut(arena: Arena) -> None:
    workers = [arena.worker(), arena.worker()]
    arena.ready()

    def cut(chance: random.Random) -> None:
        pids = [row.pid for row in arena.records.query(_BACKENDS)]
        arena.records.query("SELECT pg_terminate_backend(%s)", chance.choice(pids))

    with storm(cut, pause=0.25) as cutting:
        count = 0
        while cutting.strikes < 16:
            arena.start(sagas.voyage, key=f"forward {count}")
            arena.start(sagas.trip, 3, fails=True, key=f"backward {count}")
            arena.start(sagas.entries, 3, key=f"entries {count}")
            count += 1
            arena.until(lambda: len(arena.records.open()) < 20, "they keep up")
    ends = arena.until_over()
    assert sorted(ends.values()) == ["compensated"] * count + ["completed"] * 2 * count
    assert not any(worker.is_dead for worker in workers)
    assert set(arena.entered().values()) == {1}
