"""Those who wait for the ends of sagas share connections to the broker."""

import threading
from collections.abc import Generator
from uuid import UUID, uuid4

import pytest
import redis

from saga.operations.embedded import EmbeddedRedis
from saga.wakeups.publisher import RedisPublisher

PATIENCE = 120.0


@pytest.fixture
def broker_url() -> Generator[str]:
    """Of a server for this test alone: it counts and cuts the connections of all clients."""
    with EmbeddedRedis() as server:
        yield server.url


@pytest.fixture
def publisher(broker_url: str) -> Generator[RedisPublisher]:
    publisher = RedisPublisher(broker_url)
    yield publisher
    publisher.close()


def hears(publisher: RedisPublisher, saga_id: UUID) -> bool:
    """Whether its end is heard of before patience runs out."""
    with publisher.announcements(saga_id) as heard:
        late = threading.Timer(0.05, publisher.publish, ([], [saga_id]))
        late.start()
        since = threading.Event()
        waiter = threading.Thread(target=lambda: (heard(PATIENCE), since.set()))
        waiter.start()
        late.join()
        return since.wait(PATIENCE / 2)


def ears(broker_url: str) -> int:
    with redis.Redis.from_url(broker_url) as broker:
        return len(broker.client_list(_type="pubsub"))  # type: ignore[arg-type]


def test_one_connection_serves_one_after_the_other(
    publisher: RedisPublisher, broker_url: str
) -> None:
    before = ears(broker_url)
    same = uuid4()
    for saga_id in (uuid4(), same, uuid4(), same):
        assert hears(publisher, saga_id)
        assert ears(broker_url) <= before + 1


def test_each_hears_of_its_own(publisher: RedisPublisher) -> None:
    with publisher.announcements(uuid4()), publisher.announcements(uuid4()):
        assert hears(publisher, uuid4())
    assert hears(publisher, uuid4())


def test_a_connection_that_was_cut_meanwhile(publisher: RedisPublisher, broker_url: str) -> None:
    assert hears(publisher, uuid4())
    with redis.Redis.from_url(broker_url) as broker:
        broker.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert hears(publisher, uuid4())
