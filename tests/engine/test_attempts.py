"""An attempt has an outcome, whatever the user's code raises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from saga.core.declare.decorators import step
from saga.core.declare.registry import registry
from saga.core.declare.retry import Retry
from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.attempt.attempt import Attempts
from saga.engine.attempt.catalog import Catalog
from saga.engine.attempt.work import Outcome, Work
from saga.errors import Unknown


class Rude(Exception):
    """Neither its text nor its pause can be had."""

    def __str__(self) -> str:
        raise RuntimeError

    @property
    def retry_after(self) -> float:
        raise RuntimeError


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    with registry.sandbox():
        yield


def attempt(
    name: str, *, undo: bool = False, attempt: int = 1, in_doubt: bool = False, lost: int = 0
) -> Outcome:
    key = StepKey(UUID(int=1), 1, undo)
    work = Work(key, "trip", Intent("step", name, "default"), attempt, 0, in_doubt, lost=lost)
    return Attempts(Catalog(registry)).run(work)


def raising(error: BaseException) -> Callable[[], int]:
    def pay() -> int:
        raise error

    return pay


def test_an_error_that_cannot_be_shown() -> None:
    step(raising(Rude()))
    outcome = attempt("pay")
    assert (outcome.state, outcome.reason) == ("retrying", "Rude: (its message cannot be shown)")
    assert json.loads(outcome.error or "")["type"] == "Rude"


def test_a_probe_that_returns_no_result_of_the_step_has_not_answered() -> None:
    pay = step(retry=Retry(max_attempts=2))(raising(Unknown("?")))

    @pay.probe
    def look() -> Any:  # pyright: ignore[reportUnusedFunction]
        return "paid"

    first = attempt("pay", in_doubt=True)
    assert (first.state, first.in_doubt) == ("unknown", True)
    assert json.loads(first.error or "")["type"] == "InvalidInput"
    last = attempt("pay", attempt=2, in_doubt=True)
    assert (last.state, last.in_doubt) == ("blocked", True)


def test_an_undo_whose_probe_returns_no_result_of_the_step_is_tried_again() -> None:
    pay = step(raising(Unknown("?")))

    @pay.probe
    def look() -> Any:  # pyright: ignore[reportUnusedFunction]
        return "paid"

    @pay.compensation
    def refund(paid: int | None) -> None:  # pyright: ignore[reportUnusedFunction]
        raise AssertionError

    outcome = attempt("refund", undo=True)
    assert (outcome.state, outcome.in_doubt) == ("retrying", False)


def test_a_step_without_effect_is_in_no_doubt_when_its_attempts_are_gone() -> None:
    step(read_only=True)(raising(ValueError()))
    outcome = attempt("pay", attempt=6, in_doubt=True)
    assert (outcome.state, outcome.in_doubt) == ("failed", False)
    assert outcome.reason == (
        "TimeoutError: its time was up, and no attempts are left; none had an effect"
    )


def test_the_death_of_its_worker_uses_up_no_attempt() -> None:
    step(read_only=True, retry=Retry(max_attempts=1))(raising(ValueError("its own")))
    outcome = attempt("pay", attempt=3, in_doubt=True, lost=2)
    assert (outcome.state, outcome.reason) == ("failed", "ValueError: its own")


@pytest.mark.parametrize(
    ("options", "state", "in_doubt"),
    [
        ({"read_only": True}, "failed", False),
        ({}, "failed", True),
        ({"on_unknown": "ask"}, "blocked", True),
    ],
)
def test_so_many_workers_lost_in_a_row_end_a_step(
    options: dict[str, Any], state: str, in_doubt: bool
) -> None:
    step(retry=Retry(max_attempts=9, max_losses=2), **options)(raising(AssertionError()))
    outcome = attempt("pay", attempt=3, in_doubt=True, lost=2)
    assert (outcome.state, outcome.in_doubt) == (state, in_doubt)
    if state == "failed":
        assert json.loads(outcome.error or "")["type"] == "WorkerLost"


def test_a_probe_is_asked_once_more_than_workers_may_be_lost() -> None:
    pay = step(retry=Retry(max_losses=2))(raising(AssertionError()))
    asked: list[str] = []

    @pay.probe
    def look() -> Any:  # pyright: ignore[reportUnusedFunction]
        asked.append("once")

    last = attempt("pay", attempt=3, in_doubt=True, lost=2)
    assert (last.state, last.in_doubt, asked) == ("failed", False, ["once"])
    killer = attempt("pay", attempt=4, in_doubt=True, lost=3)
    assert (killer.state, killer.in_doubt, asked) == ("blocked", True, ["once"])


def test_so_many_workers_lost_in_a_row_block_an_undo() -> None:
    pay = step(raising(AssertionError()))

    @pay.compensation(retry=Retry(max_attempts=9, max_losses=2))
    def refund(paid: int | None) -> None:  # pyright: ignore[reportUnusedFunction]
        raise AssertionError

    outcome = attempt("refund", undo=True, attempt=3, lost=2)
    assert (outcome.state, outcome.in_doubt) == ("blocked", True)
    assert json.loads(outcome.error or "")["type"] == "WorkerLost"
