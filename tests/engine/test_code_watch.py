"""How long a saga's code has run, as those see it who may park it."""

import threading
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest

from saga.engine.advance.code_watch import CodeWatch, Running
from saga.engine.advance.live import Live
from saga.storage.hot.rows import Seen

PATIENCE = 30.0


def _running(watch: CodeWatch, code: Callable[[], None]) -> tuple[threading.Thread, Running]:
    live = Live(uuid4(), "order", 1, "default", "running", Seen(0, 0, 0), 0, False)
    live.run = cast("Any", type("Run", (), {"applied": 0}))
    thread = threading.Thread(target=watch.run, args=(live, code), daemon=True)
    thread.start()
    for _ in range(1000):
        if watch._running:
            break
        thread.join(PATIENCE / 1000)
    (running,) = watch._running.values()
    running.has_run_for(running.since)
    return thread, running


def test_waiting_counts_for_less_than_computing() -> None:
    """For the interpreter, say, which others have."""
    goes_on = threading.Event()
    thread, running = _running(CodeWatch(), lambda: cast("None", goes_on.wait(PATIENCE)))
    assert running.has_run_for(running.since + 9.0) == pytest.approx(3.0, abs=0.5)
    goes_on.set()
    thread.join(PATIENCE)


def test_computing_counts() -> None:
    stops = threading.Event()

    def compute() -> None:
        while not stops.is_set():
            pass

    thread, running = _running(CodeWatch(), compute)
    for _ in range(1000):
        if running.has_run_for(running.since) >= 0.2:
            break
        thread.join(PATIENCE / 1000)
    assert running.has_run_for(running.since) >= 0.2, "by no clock but that of the processor"
    stops.set()
    thread.join(PATIENCE)
