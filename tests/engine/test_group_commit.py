"""Group commit goes on, whatever happens to its leader."""

import threading
from uuid import UUID

import pytest

from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.advance import group_commit as group_commit_module
from saga.engine.advance.group_commit import GroupCommit
from saga.engine.advance.request import Request
from saga.engine.attempt.work import Work

PATIENCE = 30.0


def test_a_clock_that_fails_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under libfaketime, whose sleep may refuse so short a time."""

    def refuse(_: float) -> None:
        raise OSError(22, "Invalid argument")

    def process(batch: list[Request]) -> None:
        for request in batch:
            request.work = Work(
                StepKey(request.saga_id, 1, False), "s", Intent("step", "t", "q"), 1, 0
            )

    group_commit = GroupCommit(process, lambda: None)
    monkeypatch.setattr(group_commit_module.time, "sleep", refuse)
    group_commit._expected = 2  # as after a batch of two that went on
    ended = threading.Event()

    def submit() -> None:
        group_commit.submit(Request(UUID(int=1)))
        group_commit.submit(Request(UUID(int=2)))
        ended.set()

    threading.Thread(target=submit, daemon=True).start()
    assert ended.wait(PATIENCE)
    assert not group_commit.is_busy
