"""Messages that wait leave the room for their queue, whatever happens meanwhile."""

import time
from collections.abc import Generator
from typing import Any

import pytest
import redis

from saga.execution.waiting_room import ROOM, WaitingRoom
from saga.wakeups.broker import Broker
from tests.execution.test_hostile_messages import message

FOR_POSTGRES: dict[str, Any] = {"headers__saga_for": None, "headers__saga_since": 1}


@pytest.fixture
def broker(broker_url: str) -> Generator["redis.Redis"]:
    with redis.Redis.from_url(broker_url) as found:
        yield found


def room(broker_url: str, database_url: str) -> WaitingRoom:
    return WaitingRoom(Broker(broker_url), database_url)


def test_none_is_lost_with_a_worker(
    broker: "redis.Redis",
    broker_url: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker.lpush(ROOM, message(**FOR_POSTGRES))
    waiting = room(broker_url, database_url)

    def end(_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(waiting, "_there", end)
        with pytest.raises(SystemExit):
            waiting.let_out()
    assert broker.llen(ROOM) == 1
    waiting.let_out()
    assert (broker.llen(ROOM), broker.llen("sagas")) == (0, 1)
    waiting.close()


def test_one_that_two_workers_look_at_is_let_out_once(
    broker: "redis.Redis",
    broker_url: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody = {"headers__saga_for": [None, "parcel", "p-1"]}
    patient = {**nobody, "headers__saga_since": time.time()}
    broker.lpush(ROOM, message(**FOR_POSTGRES), message(**patient), message(**FOR_POSTGRES))
    first, second = (room(broker_url, database_url) for _ in range(2))
    ask = first._there

    def let_the_second_go_first(wanted: Any) -> Any:
        second.let_out()
        return ask(wanted)

    monkeypatch.setattr(first, "_there", let_the_second_go_first)
    first.let_out()
    assert (broker.llen(ROOM), broker.llen("sagas")) == (1, 2)
    first.close()
    second.close()


def test_one_that_postgres_cannot_be_asked_about_holds_up_no_other(
    broker: "redis.Redis", broker_url: str, database_url: str
) -> None:
    no_text = {"headers__saga_for": [None, "\ud800", "p-1"], "headers__saga_since": 1}
    broker.lpush(ROOM, message(**no_text), message(**FOR_POSTGRES))
    waiting = room(broker_url, database_url)
    waiting.let_out()
    assert (broker.llen(ROOM), broker.llen("sagas")) == (0, 1)
    waiting.close()
