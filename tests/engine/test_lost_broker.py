"""A broker that has lost everything gets everything again, however long the queue was."""

import pytest
import redis

from saga import Client, StartRequest, saga, step
from saga.engine.sweep.sweeper import Sweeper
from saga.storage import due
from saga.wakeups.publisher import publisher_for

MANY = 1_300  # more than two of the sweeper's batches


@step(name="lost_broker_step", queue="lost-steps")
def touch(number: int) -> int:
    return number


@saga(name="lost_broker", queue="lost-sagas")
async def touch_once(number: int) -> int:
    return await touch(number)


def nothing_is_due_by_itself(patch: pytest.MonkeyPatch) -> None:
    """What was sent, the first time or again, is not taken for lost while the test lasts."""
    patch.setattr("saga.client.client._APPLY_WITHIN", 30.0)
    pause = "2 * 2 ^ greatest"
    assert pause in due._POSTPONE_SAGAS
    patch.setattr(due, "_POSTPONE_SAGAS", due._POSTPONE_SAGAS.replace(pause, "30 * 2 ^ greatest"))


def test_every_wake_up_is_sent_again_at_once(
    database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_is_due_by_itself(monkeypatch)
    client = Client(database_url, broker_url)
    broker = redis.Redis.from_url(broker_url)
    publisher = publisher_for(broker_url)
    sweeper = Sweeper(database_url, publisher)
    try:
        sweeper.sweep()
        client.start_many(StartRequest(touch_once, {"number": n}) for n in range(MANY))
        assert broker.llen("lost-sagas") == MANY
        broker.flushdb()
        rounds = 1
        while sweeper.sweep() == 0.0:
            rounds += 1
        assert broker.llen("lost-sagas") == MANY
        assert rounds == MANY // 500 + 1
    finally:
        sweeper.stop()
        publisher.close()
        broker.close()
        client.close()
