"""Group commit goes on, whatever its threads do."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from saga.engine.advance.group_commit import GroupCommit, Job

PATIENCE = 30.0


def _in_threads(count: int, work: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


def _all_end(threads: list[threading.Thread]) -> bool:
    for thread in threads:
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads)


def _goes_on(batch: list[Job]) -> None:
    for job in batch:
        job.comes_back = True


def test_threads_that_do_not_come_back() -> None:
    group_commit = GroupCommit(_goes_on, lambda: None)
    group_commit._expected = 40  # as after a batch of as many that said they would
    threads = _in_threads(2, lambda _: group_commit.submit(Job()))
    assert _all_end(threads)
    assert not group_commit.is_busy


def test_every_thread_is_served_and_woken() -> None:
    served: list[Job] = []

    def serve(batch: list[Job]) -> None:
        served.extend(batch)
        _goes_on(batch)

    group_commit = GroupCommit(serve, lambda: None, most=5)

    def submit(_: int) -> None:
        for _ in range(200):
            job = Job()
            group_commit.submit(job)
            assert job.done

    threads = _in_threads(16, submit)
    assert _all_end(threads)
    assert len(served) == len(set(served)) == 16 * 200
    assert not group_commit.is_busy


def test_a_batch_that_fails_wakes_all_of_its_threads() -> None:
    together = threading.Barrier(8)
    failed: list[int] = []

    def serve(batch: list[Job]) -> None:
        raise RuntimeError(len(batch))

    group_commit = GroupCommit(serve, lambda: None)

    def submit(number: int) -> None:
        together.wait(PATIENCE)
        try:
            group_commit.submit(Job())
        except RuntimeError:
            failed.append(number)

    threads = _in_threads(8, submit)
    assert _all_end(threads)
    assert sorted(failed) == list(range(8))


class Prepared(Job):
    """Prepared by a function, which must be called once, whoever leads."""

    prepares = True

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self.function = function
        self.times = 0

    def prepare(self) -> None:
        if self.times == 0:
            self.times += 1
            self.function()


def test_one_that_takes_long_to_prepare_holds_up_nobody_else() -> None:
    """Also not the thread that was at it for another's sake."""
    goes_on = threading.Event()
    is_at_it = threading.Event()
    together = threading.Barrier(9)
    group_commit = GroupCommit(_goes_on, lambda: None)

    def hang() -> None:
        is_at_it.set()
        assert goes_on.wait(PATIENCE)

    def submit(number: int) -> None:
        together.wait(PATIENCE)
        group_commit.submit(slow if number == 0 else Prepared(lambda: None))

    slow = Prepared(hang)
    threads = _in_threads(9, submit)
    assert is_at_it.wait(PATIENCE)
    # One of the others may be the leader, and is at it; the rest end, and so do new ones.
    later = _in_threads(4, lambda _: group_commit.submit(Prepared(lambda: None)))
    assert _all_end(later)
    for _ in range(1000):
        if sum(thread.is_alive() for thread in threads) <= 2:
            break
        threads[1].join(PATIENCE / 1000)
    assert sum(thread.is_alive() for thread in threads) <= 2
    assert not slow.done
    goes_on.set()
    assert _all_end(threads)
    assert slow.done
    assert slow.times == 1
    assert not group_commit.is_busy


def test_leaders_that_are_left_behind_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each job is prepared and served once, and each thread woken, whoever overtakes whom."""
    monkeypatch.setattr("saga.engine.advance.group_commit._LONG", 0.001)
    served: list[Job] = []

    def serve(batch: list[Job]) -> None:
        served.extend(batch)
        _goes_on(batch)

    group_commit = GroupCommit(serve, lambda: None, most=7)
    jobs: list[Prepared] = []

    def submit(number: int) -> None:
        luck = random.Random(number)
        for _ in range(60):
            pause = luck.choice([0, 0, 0, 0.0005, 0.002, 0.004])
            job = Prepared(partial(time.sleep, pause) if pause else lambda: None)
            jobs.append(job)
            group_commit.submit(job)
            assert job.done

    threads = _in_threads(16, submit)
    assert _all_end(threads)
    assert len(served) == len(set(served)) == 16 * 60
    assert {job.times for job in jobs} == {1}
    assert not group_commit.is_busy


def test_who_serves_the_others_cannot_wait_for_itself() -> None:
    """It would for ever."""
    errors: list[BaseException] = []

    def ask_again() -> None:
        try:
            group_commit.submit(Job())
        except RuntimeError as error:
            errors.append(error)

    group_commit = GroupCommit(_goes_on, lambda: None)
    group_commit.submit(Prepared(ask_again))
    assert len(errors) == 1
