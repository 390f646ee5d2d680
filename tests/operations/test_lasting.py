"""A server of `saga dev` that has ended is started again, or given up with a reason."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from saga.operations.dev import DevError, lasting
from saga.operations.dev.lasting import LastingServer
from saga.operations.embedded import EmbeddedRedis
from tests.live.processes import until


@pytest.fixture
def ended() -> Iterator[EmbeddedRedis]:
    """A Redis that somebody has killed."""
    with EmbeddedRedis() as server:
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.running, "it has ended")
        yield server


def test_gives_up_with_the_reason(ended: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "_PATIENCE", 0.2)
    said: list[str] = []
    server = LastingServer("Redis", ended, said.append)
    with (
        socket.create_server(("127.0.0.1", ended.port)),
        pytest.raises(DevError, match=r"(?s)Redis has ended and cannot be started again: .*in use"),
    ):
        server.look(lambda: False)
    assert said == ["Redis has ended (killed by SIGKILL); it is started again, with the same data"]


def test_starts_nothing_once_told_to_stop(ended: EmbeddedRedis) -> None:
    said: list[str] = []
    LastingServer("Redis", ended, said.append).look(lambda: True)
    assert not ended.running
    assert not any("is back" in line for line in said)
