"""Group commit goes on, whatever happens to its leader."""

import threading

import pytest

from saga.engine.advance import group_commit as group_commit_module
from saga.engine.advance.group_commit import GroupCommit, Job

PATIENCE = 30.0


def test_a_clock_that_fails_the_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under libfaketime, whose sleep may refuse so short a time."""

    def refuse(_: float) -> None:
        raise OSError(22, "Invalid argument")

    def serve(batch: list[Job]) -> None:
        for job in batch:
            job.comes_back = True

    group_commit = GroupCommit(serve, lambda: None)
    monkeypatch.setattr(group_commit_module.time, "sleep", refuse)
    group_commit._expected = 2  # as after a batch of two that went on
    ended = threading.Event()

    def submit() -> None:
        group_commit.submit(Job())
        group_commit.submit(Job())
        ended.set()

    threading.Thread(target=submit, daemon=True).start()
    assert ended.wait(PATIENCE)
    assert not group_commit.is_busy
