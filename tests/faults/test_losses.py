"""What an attempt costs that no worker brought to its end."""

from uuid import UUID

from saga.core.rows import StepKey
from saga.engine.attempt.work import Outcome, Work
from tests.faults.arena import Arena
from tests.faults.code import sagas


def _begun(arena: Arena) -> UUID:
    """A saga that waits for a worker that takes its only step."""
    saga = arena.start(sagas.looks, key="one").id
    with arena.inline("sagas") as process:
        process.advance(saga)
    return saga


def _lose_a_worker(arena: Arena, saga: UUID) -> None:
    with arena.inline() as victim:
        assert victim.conductor.claim(StepKey(saga, 1, undo=False), None) is not None
        arena.take_over(victim)


def _next(arena: Arena, saga: UUID, outcome: Outcome) -> Work:
    """An attempt that ends like this."""
    with arena.inline() as process:
        work = process.conductor.claim(StepKey(saga, 1, undo=False), None)
        assert work is not None
        process.conductor.settle(work, outcome)
    return work


def test_workers_are_lost_in_a_row(arena: Arena) -> None:
    """On whatever machine; and what one of them reports ends that row, and is an attempt."""
    saga = _begun(arena)
    for _ in range(2):
        _lose_a_worker(arena, saga)
    reported = _next(arena, saga, Outcome("unknown", retry_in=0.0))
    assert (reported.attempt, reported.tries, reported.lost) == (3, 1, 2)
    _lose_a_worker(arena, saga)
    last = _next(arena, saga, Outcome("succeeded", '"seen"'))
    assert (last.attempt, last.tries, last.lost) == (5, 2, 1)
    assert not last.is_wanted_by_a_person
    assert arena.until_over(saga) == {saga: "completed"}


def test_an_attempt_that_nobody_began_costs_nothing(arena: Arena) -> None:
    saga = _begun(arena)
    with arena.inline() as process:
        granted = process.conductor.claim(StepKey(saga, 1, undo=False), None)
        assert granted is not None
        process.conductor.leases.forget(granted)  # as if the reply had been lost
        assert process.conductor.release_strays() == 1
    work = _next(arena, saga, Outcome("succeeded", '"seen"'))
    assert (work.attempt, work.tries, work.lost) == (2, 1, 0)
    assert arena.until_over(saga) == {saga: "completed"}
