"""Redis holds no truth: it is emptied and killed, and everything still ends."""

import os
import signal
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from saga.execution.vital_signs import ConsumerVital
from saga.operations.embedded import EmbeddedStack
from saga.wakeups.broker import Broker
from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.publisher import publisher_for
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


_AWAY = {
    "down": "",
    "silent": "",
    "full": "CONFIG SET maxmemory 1",
    "read-only": "REPLICAOF 127.0.0.1 1",
    "of another password": "CONFIG SET requirepass other",
}


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
@pytest.mark.parametrize("how", _AWAY)
def test_sagas_go_on_without_it(
    own_arena: Arena, own_stack: EmbeddedStack, how: str, pool: str
) -> None:
    """They are started and done while it is away, also by workers that had nothing to do."""
    arena, server = own_arena, own_stack.redis
    slots = 4 if pool == "threads" else 1
    workers = [arena.worker(lease=STEADY, pool=pool, concurrency=slots) for _ in range(2)]
    arena.until(lambda: all(" ready." in w.last_words() for w in workers), "they consume")
    arena.start(sagas.one, 0, key="before").result(60)
    if how == "down":
        server.kill()
    elif how == "silent":
        os.kill(server.pid, signal.SIGSTOP)
    else:
        _command(arena, _AWAY[how])
    if how == "of another password":
        _reconnect(arena, "other")
    done = [arena.start(sagas.voyage, key=f"during {number}").id for number in range(3)]
    done += [arena.start(sagas.trip, 3, fails=True, key=f"undone {n}").id for n in range(2)]
    arena.until(lambda: not arena.records.open(), "all have ended, without it")
    if how == "down":
        server.start()
    os.kill(server.pid, signal.SIGCONT)
    if how == "of another password":
        _reconnect(arena, "other", f"CONFIG SET requirepass {_password(arena)}")
    elif how in ("full", "read-only"):
        _command(arena, "CONFIG SET maxmemory 0")
        _command(arena, "REPLICAOF NO ONE")
    done += [arena.start(sagas.voyage, key=f"after {number}").id for number in range(3)]
    ends = arena.until_over()
    assert {ends[one] for one in done} == {"completed", "compensated"}
    assert not any(worker.is_dead for worker in workers)
    assert arena.records.takeovers() == 0


def test_messages_that_a_replica_keeps_are_no_standstill(own_stack: EmbeddedStack) -> None:
    """The watchdog would end all workers after a failover, which would help nobody."""
    url = own_stack.broker_url
    queues = SimpleNamespace(consume_from={"sagas": None})
    worker: Any = SimpleNamespace(
        pool=SimpleNamespace(num_processes=1),
        consumer=None,
        app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)),
    )
    publisher, broker = publisher_for(url), Broker(url)
    vital = ConsumerVital(worker, publisher, broker)
    vital.complaint()
    publisher.publish([WakeUp("sagas", ADVANCE, uuid4())])
    assert "1 messages wait and none is taken" in (vital.complaint() or "")
    with redis.Redis.from_url(url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        assert publisher.length("sagas") == 1
        assert vital.complaint() is None
    publisher.close()
    broker.close()


def _password(arena: Arena) -> str:
    return str(urlsplit(arena.broker_url).password)


def _reconnect(arena: Arena, password: str, *texts: str) -> None:
    """All have to give the password once more."""
    url = arena.broker_url.replace(_password(arena), password)
    with redis.Redis.from_url(url) as broker:
        for text in (*texts, "CLIENT KILL TYPE normal SKIPME yes"):
            broker.execute_command(*text.split())


def _command(arena: Arena, text: str) -> None:
    with redis.Redis.from_url(arena.broker_url) as broker:  # pyright: ignore[reportUnknownMemberType]
        broker.execute_command(*text.split())  # pyright: ignore[reportUnknownMemberType]
