"""Wake-ups that come three times, out of order, or never."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import redis

from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.publisher import publisher_for
from tests.faults.arena import STEADY, Arena
from tests.faults.code import sagas
from tests.faults.unreliable import VARIABLE

_MANGLED = r"mangled: (\d+) into (\d+)"


@pytest.mark.parametrize(("copies", "dropped"), [(3, 0.0), (3, 0.3)])
def test_unreliable_broker(arena: Arena, copies: int, dropped: float) -> None:
    seed = random.randrange(2**32)
    print("broker seed:", seed)  # noqa: T201 - shown with a failure, to repeat it
    unreliable = {VARIABLE: f"{copies}:{dropped}:{seed}"}
    workers = [arena.worker(environment=unreliable, lease=STEADY) for _ in range(2)]
    forward = arena.start_many(sagas.voyage, 10)
    backward = [arena.start(sagas.trip, 3, fails=True, key=str(n)).id for n in range(5)]
    parents = arena.start_many(sagas.family, 3, 3)
    letters = arena.start(sagas.letters, 5, key="letters")
    for number in range(5):
        letters.signal("letter", number)
    ends = arena.until_over()
    assert {ends[one] for one in forward + parents} == {"completed"}
    assert {ends[one] for one in backward} == {"compensated"}
    assert letters.result(1) == list(range(5))
    logs = "".join(worker.log.read_text() for worker in workers)
    mangled = [(int(asked), int(sent)) for asked, sent in re.findall(_MANGLED, logs)]
    assert sum(sent for _, sent in mangled) > 1.5 * sum(asked for asked, _ in mangled) > 0
    if not dropped:
        assert all(entry.attempt == 1 for entry in arena.ledger.entries)


@pytest.mark.parametrize("position", [0, 1])
def test_of_another_installation_on_the_same_broker(arena: Arena, position: int) -> None:
    worker = arena.worker()
    stranger = uuid4()
    task, queue = ("book", "default") if position else (ADVANCE, "sagas")
    publisher = publisher_for(arena.broker_url)
    publisher.publish([WakeUp(queue, task, stranger, position) for _ in range(3)])
    publisher.close()
    arena.until_over(arena.start(sagas.one, 1, key="ours").id)
    told = f"saga {stranger}, which is not in this database"
    arena.until(lambda: told in worker.log.read_text(), "it says so")
    assert worker.log.read_text().count("not in this database") == 1


def test_lost_before_a_backlog_that_does_not_end(arena: Arena) -> None:
    """There are always more messages than what is due: nobody can tell that one of them is gone."""
    started = arena.start_many(sagas.one, 3, 1)
    with arena.inline("sagas") as process:
        process.advance(started[0])
    arena.lose_messages()
    publisher = publisher_for(arena.broker_url)
    strangers = {"sagas": uuid4(), "default": uuid4()}
    publisher.publish([WakeUp(q, ADVANCE, s) for q, s in strangers.items() for _ in range(100)])

    def lengths() -> list[int]:
        return [publisher.length(queue) or 0 for queue in strangers]

    before = lengths()
    with arena.sweeper() as sweeper:
        assert publisher.intact() is False, "the broker has lost everything"
        for look in range(8):
            arena.records.query("UPDATE saga.saga SET due_at = now() WHERE due_at IS NOT NULL")
            arena.records.query("UPDATE saga.step SET due_at = now() WHERE due_at IS NOT NULL")
            sweeper.sweep()
            if look < 3:
                assert lengths() == before, "they may well be among those that wait"
    assert all(n > once for n, once in zip(lengths(), before, strict=True))
    arena.worker()
    assert set(arena.until_over().values()) == {"completed"}
    publisher.close()


def test_lost_with_a_worker_before_a_backlog_that_drains(arena: Arena) -> None:
    """Others are sent again instead of the lost ones, which is noticed when the queue is empty."""
    arena.start_many(sagas.one, 6, 1)
    with redis.Redis.from_url(arena.broker_url) as broker:
        lost = set(itertools.islice(_taken(broker, "sagas"), 2))
        with arena.sweeper() as sweeper, arena.inline() as process:
            for _ in range(4):
                arena.records.query("UPDATE saga.saga SET due_at = created_at")
                sweeper.sweep()
            for saga in _taken(broker, "sagas"):
                assert saga not in lost, "the oldest may be those that wait"
                arena.drive(process, saga)
            sweeper.sweep()
            assert set(_taken(broker, "sagas")) == lost
            for saga in lost:
                arena.drive(process, saga)
    assert set(arena.until_over().values()) == {"completed"}


def test_lost_with_a_worker_before_a_backlog_that_does_not_end(arena: Arena) -> None:
    """The oldest are sent again, once: what it had taken was at the head of its queues."""
    many = arena.start_many(sagas.one, 100, 1)
    publisher = publisher_for(arena.broker_url)
    publisher.intact()
    with (
        redis.Redis.from_url(arena.broker_url) as broker,
        arena.sweeper() as sweeper,
        arena.inline() as process,
    ):
        lost = set(itertools.islice(_taken(broker, "sagas"), 5))
        arena.records.query(_A_DEAD_WORKER)
        sweeper.sweep()
        sweeper.sweep()
        waiting = list(_taken(broker, "sagas"))
        assert lost <= set(waiting)
        assert len(waiting) < 2 * len(many)
        for saga in many:
            arena.drive(process, saga)
    publisher.close()
    assert set(arena.until_over().values()) == {"completed"}


_A_DEAD_WORKER = """
INSERT INTO saga.worker (name, host, pid, queues, lease_until)
VALUES ('there:1', 'there', 1, '{sagas}', now() - interval '1 second')
"""


def _taken(broker: "redis.Redis", queue: str) -> Iterator[UUID]:
    """The sagas of the messages in a queue, which takes them out of it."""
    while (message := broker.rpop(queue)) is not None:
        yield UUID(json.loads(message)["headers"]["root_id"])  # type: ignore[arg-type]
