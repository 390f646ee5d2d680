"""Redis holds no truth: it is emptied and killed, and everything still ends."""

import pytest
import redis

from saga.operations.embedded import EmbeddedStack
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.storm import storm


def test_flushed_during_a_run(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    arena.worker()
    arena.worker()
    arena.ready()
    with storm(lambda _: own_stack.redis.flushall(), pause=0.2) as flushing:
        count = 0
        while flushing.strikes < 8:
            arena.start(sagas.voyage, key=f"forward {count}")
            arena.start(sagas.trip, 3, fails=True, key=f"backward {count}")
            count += 1
            arena.until(lambda: len(arena.records.open()) < 20, "they keep up")
    ends = arena.until_over()
    assert sorted(ends.values()) == ["compensated"] * count + ["completed"] * count


def test_killed_and_started_empty(own_arena: Arena, own_stack: EmbeddedStack) -> None:
    arena = own_arena
    workers = [arena.worker(), arena.worker()]
    arena.ready()
    for round_ in range(2):
        for number in range(6):
            arena.start(sagas.voyage, key=f"before {round_} {number}")
        own_stack.redis.kill()
        away = arena.records.clock()
        for number in range(3):
            arena.start(sagas.trip, 3, fails=True, key=f"meanwhile {round_} {number}")
        arena.until(lambda away=away: arena.records.seconds_since(away) > 1, "a second passes")
        own_stack.redis.start()
    ends = arena.until_over()
    assert sorted(ends.values()) == ["compensated"] * 6 + ["completed"] * 12
    assert not any(worker.is_dead for worker in workers)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CLIENT PAUSE 3000 ALL", "PING"),
        ("CLIENT KILL TYPE normal SKIPME yes", "CLIENT KILL TYPE normal SKIPME yes"),
    ],
)
def test_it_answers_with_errors(
    own_arena: Arena, own_stack: EmbeddedStack, begin: str, end: str
) -> None:
    arena = own_arena
    workers = [arena.worker(lease=STEADY), arena.worker(lease=STEADY)]
    arena.until(lambda: all(" ready." in w.last_words() for w in workers), "they consume")
    first = [arena.start(sagas.voyage, key=f"before {n}").id for n in range(5)]
    _command(arena, begin)
    since = arena.records.clock()
    second = [arena.start(sagas.trip, 3, fails=True, key=f"during {n}").id for n in range(5)]
    arena.until(lambda: arena.records.seconds_since(since) > 3, "three seconds pass")
    _command(arena, end)
    ends = arena.until_over()
    assert {ends[one] for one in first} == {"completed"}
    assert {ends[one] for one in second} == {"compensated"}
    assert not any(worker.is_dead for worker in workers)
    assert arena.records.takeovers() == 0


def _command(arena: Arena, text: str) -> None:
    with redis.Redis.from_url(arena.broker_url) as broker:  # pyright: ignore[reportUnknownMemberType]
        broker.execute_command(*text.split())  # pyright: ignore[reportUnknownMemberType]
