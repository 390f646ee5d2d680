"""Two workers and one step: only the holder of the newest lease changes anything."""

from saga.core.rows import StepKey
from saga.engine.attempt.work import Outcome
from tests.faults.arena import Arena
from tests.faults.code import sagas

_RETRYING = Outcome("retrying", error='{"type":"E"}', in_doubt=True, retry_in=0.0, reason="E: no")
_STALE, _FRESH = Outcome("succeeded", '"stale"'), Outcome("succeeded", '"fresh"')


def test_late_result_after_a_takeover(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as zombie, arena.inline() as other:
        old = zombie.conductor.advance(saga)
        assert old is not None
        arena.take_over(zombie)
        new = other.conductor.claim(StepKey(saga, 1, undo=False), None)
        assert new is not None
        assert new.attempt == 2
        assert zombie.conductor.settle(old, _STALE) is None
        assert arena.records.steps(saga)[1, False].state == "running"
        assert [row.attempt for row in arena.records.rejected()] == [1]
        arena.carry_out(other, new)
    assert arena.until_over(saga) == {saga: "completed"}


def test_late_result_of_one_that_has_read_the_saga_again(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as zombie, arena.inline() as other:
        old = zombie.conductor.advance(saga)
        assert old is not None
        arena.take_over(zombie)
        new = other.conductor.claim(StepKey(saga, 1, undo=False), None)
        assert new is not None
        assert zombie.conductor.advance(saga) is None
        zombie.conductor.settle(old, _STALE)
        assert arena.records.steps(saga)[1, False].state == "running"
        assert [row.attempt for row in arena.records.rejected()] == [1]
        arena.carry_out(other, new)
    assert arena.until_over(saga) == {saga: "completed"}


def test_late_result_before_anybody_else_has_begun(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as zombie, arena.inline() as other:
        old = zombie.conductor.advance(saga)
        assert old is not None
        arena.take_over(zombie)
        zombie.conductor.advance(saga)
        zombie.conductor.settle(old, _STALE)
        assert arena.records.steps(saga)[1, False].state == "unknown"
        assert [row.attempt for row in arena.records.rejected()] == [1]
        arena.drive(other, saga)
    assert arena.until_over(saga) == {saga: "completed"}


def test_the_first_of_two_results_counts(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as one:
        work = one.conductor.advance(saga)
        assert work is not None
        arena.ledger.ask("do", "book", work.idempotency_key, work.attempt)
        one.conductor.settle(work, _FRESH)
        one.conductor.settle(work, _STALE)
    assert arena.records.steps(saga)[1, False].result == "fresh"


def test_result_that_comes_again_after_its_reply_was_lost(arena: Arena) -> None:
    """Meanwhile another thread has read the saga again, and nothing else of it runs."""
    saga = arena.start(sagas.voyage, fails=True, key="one").id
    with arena.inline() as one:
        work = one.conductor.advance(saga)
        arena.carry_out(one, work)
        arena.drive(one, saga)
        assert work is not None
        before = arena.records.history(saga)
        one.conductor.settle(work, _STALE)
        assert arena.records.history(saga) == before
        assert arena.records.steps(saga)[1, False].event == 1


def test_failure_that_comes_again_after_the_next_attempt_has_begun(arena: Arena) -> None:
    """Its reply was lost; it was taken all the same, and nothing of it was refused."""
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as one, arena.sweeper() as sweeper:
        work = one.conductor.advance(saga)
        assert work is not None
        one.conductor.settle(work, _RETRYING)
        arena.sweep_until(
            sweeper, lambda: arena.records.steps(saga)[1, False].state == "ready", "it is due"
        )
        before = arena.records.history(saga)
        one.conductor.settle(work, _RETRYING)
        assert arena.records.history(saga) == before
        arena.drive(one, saga)
        before = arena.records.history(saga)
        one.conductor.settle(work, _RETRYING)
        assert arena.records.history(saga) == before
    assert arena.until_over(saga) == {saga: "completed"}


def test_late_failure_is_told_as_what_happened(arena: Arena) -> None:
    saga = arena.start(sagas.trip, 1, key="one").id
    with arena.inline() as zombie, arena.inline() as other:
        old = zombie.conductor.advance(saga)
        assert old is not None
        arena.take_over(zombie)
        zombie.conductor.settle(old, _RETRYING)
        arena.drive(other, saga)
    assert [row.reason for row in arena.records.rejected()] == ["late failed of attempt 1: E: no"]
    assert arena.until_over(saga) == {saga: "completed"}
