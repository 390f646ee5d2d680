"""Group commit goes on, whatever its threads do."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from saga.engine.advance.group_commit import GroupCommit, Job
from saga.engine.advance.shared_store import LandJob

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

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self.function = function
        self.times = 0

    @property
    def prepares(self) -> bool:
        return self.times == 0

    def prepare(self) -> None:
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


class Counted(LandJob):
    """How often it was prepared."""

    times = 0

    def prepare(self) -> None:
        self.times += 1
        super().prepare()


def test_what_is_decided_is_nothing_to_be_left_behind_with() -> None:
    """Its thread may be at another's job for long: nobody would wait for what it is to lead."""
    opens, goes_on = threading.Event(), threading.Event()
    group_commit = GroupCommit(_goes_on, lambda: None)

    def waits_for(event: threading.Event) -> Counted:
        def decide() -> None:
            assert event.wait(PATIENCE)

        return Counted(decide)

    first, own, slow, last = waits_for(opens), Counted(lambda: None), waits_for(goes_on), Job()
    threads = _in_threads(1, lambda _: group_commit.submit(first))
    for number, job in enumerate((own, slow)):
        _until(lambda: first.times > 0)
        with group_commit._mutex:  # the first is not to be left behind meanwhile
            threads += _in_threads(1, partial(_submit, group_commit, job))
            assert group_commit._lead is not None
            group_commit._lead.since = time.monotonic() + PATIENCE
        _until(lambda number=number: len(group_commit._waiting) == number + 1)
    opens.set()
    _until(lambda: slow.times > 0)
    assert _all_end(_in_threads(1, lambda _: group_commit.submit(last)))
    _until(lambda: own.done)
    assert own.times == 1
    goes_on.set()
    assert _all_end(threads)
    assert slow.times == 1


def _submit(group_commit: GroupCommit, job: Job, _: int) -> None:
    group_commit.submit(job)


def _until(predicate: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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
