"""The transport takes as many messages at a time as there are free slots."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Celery and kombu have no types.

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

from saga.execution.slots import slots
from saga.execution.transport import Transport
from saga.wakeups.message import WakeUp
from saga.wakeups.publisher import RedisPublisher
from tests.live.processes import PATIENCE


@pytest.fixture
def connection(broker_url: str) -> Iterator[Any]:
    options = {"ack_emulation": False, "priority_steps": [0]}
    transport = "saga.execution.transport:Transport"
    with Connection(broker_url, transport=transport, transport_options=options) as opened:
        yield opened


@pytest.mark.parametrize(("free", "taken"), [(None, 1), (1, 2), (3, 4), (8, 6)])
def test_one_read_takes_what_there_are_slots_for(
    connection: Any,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    taken: int,
) -> None:
    monkeypatch.setattr(slots, "limit", None if free is None else lambda: free)
    publisher = RedisPublisher(broker_url)
    publisher.publish([WakeUp("q", "step", UUID(int=n), n) for n in range(6)])
    seen: list[int] = []

    def note(body: Any, _: Any) -> None:
        seen.append(body[0][1])

    with Consumer(connection.default_channel, [Queue("q")], callbacks=[note], no_ack=True):
        connection.drain_events(timeout=5)
    assert seen == list(range(taken))
    publisher.close()


def test_nothing_is_read_while_no_slot_is_free(
    connection: Any, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 0
    monkeypatch.setattr(slots, "limit", lambda: free)
    publisher = RedisPublisher(broker_url)
    publisher.publish([WakeUp("q", "step", UUID(int=1))])
    seen: list[Any] = []
    with Consumer(
        connection.default_channel,
        [Queue("q")],
        callbacks=[lambda body, _: seen.append(body)],
        no_ack=True,
    ):
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        assert slots.is_awaited
        assert publisher.length("q") == 1
        free = 1
        connection.drain_events(timeout=5)
        assert not slots.is_awaited
    assert len(seen) == 1
    publisher.close()


def test_a_worker_that_stops_does_not_wait_for_a_message(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transport, "brpop_timeout", 2 * int(PATIENCE))
    monkeypatch.setattr(slots, "are_closed", True)
    channel = connection.default_channel
    with Consumer(channel, [Queue("q")], callbacks=[], no_ack=True):
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        stops = threading.Thread(target=channel.close, daemon=True)
        stops.start()
        stops.join(PATIENCE)
        assert not stops.is_alive()
