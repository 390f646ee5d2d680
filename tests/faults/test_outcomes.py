"""What Postgres refuses of an outcome, of a decision, or of a step's own transaction."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from saga import Retry, approval, current, saga, step
from saga.core.declare.registry import Registry, registry
from saga.core.rows import StepKey
from tests.faults.arena import Arena

_DEFERRED = """
CREATE TABLE public.booked (item int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO public.booked VALUES (1)
"""
_DAY = timedelta(days=1)
_BOOKED = "SELECT item FROM public.booked ORDER BY item"
_TRIED = "SELECT *, due_at > now() + interval '20 hours' AS waits FROM saga.step"
_NOTE = "SELECT status, note FROM saga.saga"


@pytest.fixture
def code() -> Iterator[Registry]:
    """Where a test's own steps and sagas go."""
    with registry.sandbox():
        yield registry


def test_a_decision_that_cannot_be_stored_is_no_fault_of_the_step(
    arena: Arena, code: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step
    def pay() -> int:
        return 7

    @saga
    async def order() -> None:
        await pay()
        await approval("ship", timeout=timedelta(days=900_000_000))

    started = arena.start(order, key="one").id
    with arena.inline(code=code) as process:
        monkeypatch.setattr("saga.core.declare.options.LONGEST", timedelta.max)
        monkeypatch.setattr("saga.core.loop.loop.LONGEST", timedelta.max)
        arena.drive(process, started)
        (paid,) = arena.records.steps(started).values()
        assert (paid.state, paid.in_doubt) == ("succeeded", False)
        (parked,) = arena.records.query(_NOTE)
        assert parked.status == "parked"
        assert parked.note.startswith("its code asks for what cannot be stored")
        monkeypatch.undo()
        arena.nudge()
        arena.drive(process, started)
    assert arena.records.statuses() == {started: "failed"}


def test_an_outcome_that_cannot_be_stored_is(
    arena: Arena, code: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step
    def pay() -> str:
        return "no JSON"

    @saga
    async def order() -> None:
        await pay()

    monkeypatch.setattr(pay, "encode_result", str)
    started = arena.start(order, key="one").id
    with arena.inline(code=code) as process:
        arena.drive(process, started)
    (paid,) = arena.records.steps(started).values()
    assert (paid.state, paid.in_doubt) == ("failed", True)


@pytest.mark.parametrize(
    ("retry", "states"),
    [
        (Retry(max_attempts=2, first=_DAY, maximum=_DAY, jitter=0), ["retrying", "failed"]),
        (Retry(give_up_on=(psycopg.IntegrityError,)), ["failed"]),
    ],
)
def test_what_fails_at_the_commit_follows_the_steps_own_rules(
    arena: Arena, code: Registry, retry: Retry, states: list[str]
) -> None:
    @step(transactional=True, retry=retry)
    def book(item: int) -> None:
        current().connection.execute("INSERT INTO public.booked VALUES (%s)", (item,))

    @saga
    async def order() -> None:
        await book(1)

    arena.records.query(_DEFERRED)
    started = arena.start(order, key="one").id
    with arena.inline(code=code) as process:
        process.advance(started)
        for state in states:
            (row,) = arena.records.query(_TRIED)
            assert (row.state, row.in_doubt) == (state, False)
            assert row.error["type"] == "UniqueViolation"
            assert "booked_item_key" in row.error["message"]
            if state == "retrying":
                assert row.waits
                arena.records.query("UPDATE saga.step SET due_at = now()")
                with arena.sweeper() as sweeper:
                    sweeper.sweep()
                process.run_step("book", StepKey(started, 1, False))
    assert [row.item for row in arena.records.query(_BOOKED)] == [1]
