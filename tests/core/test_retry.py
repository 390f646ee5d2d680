"""The retry policy: pure, as time and chance are arguments."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga.core.declare.retry import Retry
from saga.errors import DefinitionError, InvalidInput, Permanent, Unknown


def test_delays_grow_and_stop_growing() -> None:
    retry = Retry(first=timedelta(seconds=1), factor=3, maximum=timedelta(seconds=10), jitter=0)
    assert [retry.delay(attempt, 0.5) for attempt in range(1, 6)] == [1, 3, 9, 10, 10]


def test_jitter_goes_both_ways() -> None:
    retry = Retry(first=timedelta(seconds=10), jitter=0.2)
    assert retry.delay(1, 0.0) == pytest.approx(8)
    assert retry.delay(1, 0.5) == pytest.approx(10)
    assert retry.delay(1, 0.999999) == pytest.approx(12, rel=1e-3)


@given(st.integers(0, 10**9), st.floats(0, 0.999), st.floats(1, 1e9), st.floats(0, 1))
def test_delays_stay_within_bounds(
    attempt: int, chance: float, factor: float, jitter: float
) -> None:
    retry = Retry(factor=factor, jitter=jitter, maximum=timedelta(minutes=1))
    assert 0 <= retry.delay(attempt, chance) <= 60 * (1 + jitter)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ValueError(), "retry"),
        (TimeoutError(), "unknown"),
        (ConnectionResetError(), "unknown"),
        (ConnectionRefusedError(), "retry"),
        (EOFError(), "unknown"),
        (Unknown("?"), "unknown"),
        (Permanent("no"), "fail"),
        (InvalidInput("no"), "retry"),
        (SystemExit(), "fail"),
    ],
)
def test_classify(error: BaseException, verdict: str) -> None:
    assert Retry().classify(error) == verdict


def test_rules_of_ones_own() -> None:
    retry = Retry(retry_on=(LookupError,), give_up_on=(KeyError,), unknown_on=(IndexError,))
    errors = LookupError(), KeyError(), IndexError(), ValueError(), TimeoutError()
    assert [retry.classify(e) for e in errors] == ["retry", "fail", "unknown", "fail", "fail"]


@pytest.mark.parametrize(
    ("after", "expected"),
    [(7, 7.0), (0, 0.0), (1e9, 3600.0), (-1, 1.0), (float("nan"), 1.0), ("7", 1.0), (None, 1.0)],
)
def test_an_exception_may_say_when(after: Any, expected: float) -> None:
    class Busy(Exception):
        retry_after = after

    assert Retry(jitter=0).pause(Busy(), 1, 0.5) == expected
    assert Retry(jitter=0).pause(None, 1, 0.5) == 1.0


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"first": timedelta(-1)},
        {"maximum": timedelta(-1)},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"jitter": 1.5},
        {"max_attempts": 2.0},
        {"max_attempts": 2**31},
        {"first": 1},
        {"first": timedelta.max},
        {"maximum": timedelta.max},
        {"maximum": "5m"},
        {"factor": "2"},
        {"jitter": None},
        {"retry_on": "ValueError"},
        {"give_up_on": (ValueError, 5)},
        {"unknown_on": ValueError()},
    ],
)
def test_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        Retry(**options)


def test_a_single_class_stands_for_a_tuple() -> None:
    one: Any = KeyError
    retry = Retry(give_up_on=one)
    assert retry == Retry(give_up_on=(KeyError,))
    assert retry.classify(KeyError()) == "fail"
