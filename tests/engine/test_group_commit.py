"""Group commit goes on, whatever its threads do."""

import threading
from collections.abc import Callable

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
