"""Group commit goes on, whatever happens to its leader."""

import threading
from uuid import UUID

import pytest

from saga.core.rows import StepKey
from saga.engine import batching
from saga.engine.batching import Batcher
from saga.engine.work import Request, Work

PATIENCE = 30.0


def test_a_clock_that_fails_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under libfaketime, whose sleep may refuse so short a time."""

    def refuse(_: float) -> None:
        raise OSError(22, "Invalid argument")

    def process(batch: list[Request]) -> None:
        for request in batch:
            request.work = Work(StepKey(request.saga_id, 1, False), "s", "t", "q", "{}", 1, 0)

    batcher = Batcher(process, lambda: None)
    monkeypatch.setattr(batching.time, "sleep", refuse)
    batcher._expected = 2  # as after a batch of two that went on
    ended = threading.Event()

    def submit() -> None:
        batcher.submit(Request(UUID(int=1)))
        batcher.submit(Request(UUID(int=2)))
        ended.set()

    threading.Thread(target=submit, daemon=True).start()
    assert ended.wait(PATIENCE)
    assert not batcher.is_busy
