"""A broker that does not answer holds up one thread at a time."""

import os
import signal
import threading
from typing import Any
from uuid import uuid4

import pytest
from redis.client import Pipeline

from saga.operations.embedded import EmbeddedRedis
from saga.wakeups.message import ADVANCE, WakeUp
from saga.wakeups.publisher import RedisPublisher


def test_one_thread_finds_out_whether_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    execute: Any = Pipeline.execute

    def count(self: Pipeline, *args: Any, **kwargs: Any) -> Any:
        asked.append(threading.current_thread().name)
        return execute(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, "execute", count)
    with EmbeddedRedis() as server:
        publisher = RedisPublisher(server.url, quiet=1e-9)
        os.kill(server.pid, signal.SIGSTOP)
        publisher.publish([WakeUp("q", ADVANCE, uuid4())])
        assert publisher._quiet_until
        publisher._quiet_until = 1e-9  # long ago
        asked.clear()
        threads = [
            threading.Thread(target=publisher.publish, args=([WakeUp("q", ADVANCE, uuid4())],))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.kill(server.pid, signal.SIGCONT)
        assert len(asked) == 1
        publisher._quiet_until = 1e-9
        for _ in range(2):
            publisher.publish([WakeUp("q", ADVANCE, uuid4())])
        assert (publisher.length("q") or 0) >= 2, "it is back"
        publisher.close()
