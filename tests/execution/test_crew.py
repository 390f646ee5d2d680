"""The threads of a worker: as many as there is work for, and no job waits for another's end."""

import threading
from queue import SimpleQueue
from typing import Any

import pytest

from saga.execution.threads import Crew

PATIENCE = 30.0


class Hesitant(SimpleQueue[Any]):
    """Whoever got something from it is held up before it can say so."""

    def __init__(self) -> None:
        self.holds_up = threading.Event()
        self.got = threading.Event()
        self.goes_on = threading.Event()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        job = super().get(block, timeout)
        if self.holds_up.is_set():
            self.holds_up.clear()
            self.got.set()
            assert self.goes_on.wait(PATIENCE)
        return job


@pytest.fixture
def crew() -> Crew:
    return Crew(2)


def test_a_job_does_not_wait_for_one_that_was_just_taken(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Hesitant()
    monkeypatch.setattr(crew, "_jobs", jobs)
    first, second, third = (threading.Event() for _ in range(3))
    crew.put(first.set)
    assert first.wait(PATIENCE)
    jobs.holds_up.set()
    crew.put(second.set)
    assert jobs.got.wait(PATIENCE)  # its only thread has it, and has not begun
    crew.put(third.set)
    assert third.wait(PATIENCE)
    assert not second.is_set()
    jobs.goes_on.set()
    assert second.wait(PATIENCE)
    crew.close()


def test_it_grows_with_its_work_up_to_its_size(crew: Crew) -> None:
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        release.wait(PATIENCE)

    futures = [crew.submit(hold) for _ in range(4)]
    assert all(begun.acquire(timeout=PATIENCE) for _ in range(2))
    assert not begun.acquire(blocking=False)
    assert crew.threads == 2
    crew.resize(3)
    assert begun.acquire(timeout=PATIENCE)
    assert crew.threads == 3
    crew.resize(1)
    release.set()
    for future in futures:
        future.result(PATIENCE)
    assert crew.submit(int).result(PATIENCE) == 0
    crew.close()


def test_a_crew_that_has_shrunk_grows_again(crew: Crew) -> None:
    """What told idle threads to look up must not be taken for work, nor for a free thread."""
    for size in (1, 2, 1, 3, 2):
        crew.resize(size)
        gate = threading.Barrier(size + 1)
        futures = [crew.submit(gate.wait, PATIENCE) for _ in range(size)]
        gate.wait(PATIENCE)
        for future in futures:
            future.result(PATIENCE)
    crew.close()
