"""An exception becomes JSON that can be stored, whatever is in it."""

from __future__ import annotations

import json

import pytest

from saga.core import failures
from saga.errors import StepFailed


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a\0b\ud800"), "a\ufffdb\ufffd"),
        (ValueError("x" * 10_000), "x" * 4000 + "..."),
        (ValueError(), ""),
        (Rude(), "(its message cannot be shown)"),
    ],
)
def test_messages(error: Exception, message: str) -> None:
    assert json.loads(failures.describe(error)) == {
        "type": type(error).__name__,
        "message": message,
    }


def test_the_first_step_that_failed_is_named() -> None:
    step = StepFailed("charge", "Declined", "no money", {"code": 7}, position=4)
    named = {"step": 4, "name": "charge"}
    assert json.loads(failures.verdict(step)) == {
        "type": "Declined",
        "message": "no money",
        **named,
    }
    group = ExceptionGroup("two", [ValueError("no"), ExceptionGroup("inner", [step])])
    assert json.loads(failures.verdict(group)) == {
        "type": "ExceptionGroup",
        "message": "two (2 sub-exceptions): ValueError: no; "
        "charge (position 4) failed: Declined: no money",
        **named,
    }
    assert "step" not in json.loads(failures.verdict(ValueError()))


def test_a_group_of_one_is_that_one() -> None:
    step = StepFailed("charge", "Declined", "no money", position=4)
    group = ExceptionGroup("outer", [ExceptionGroup("inner", [step])])
    assert failures.verdict(group) == failures.verdict(step)
    lone = BaseExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("no")])])
    assert failures.describe(lone, details={"code": 7}) == failures.describe(
        ValueError("no"), details={"code": 7}
    )
    assert failures.brief(lone) == "ValueError: no"
