"""Waiting for what a test expects, never for luck."""

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from saga import Unavailable

T = TypeVar("T")

_POLL = 0.02
PATIENCE = 60.0
"""Seconds; far more than anything here takes on an idle machine."""


def until(
    predicate: Callable[[], T],
    what: str,
    timeout: float = PATIENCE,
    describe: Callable[[], str] = str,
) -> T:
    """Ask until the answer is true, and return it; what does not answer at all is asked again."""
    deadline = time.monotonic() + timeout
    while True:
        answer: T | None = None
        try:
            answer = predicate()
        except (psycopg.OperationalError, Unavailable):
            if time.monotonic() > deadline:
                raise
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {timeout:g} s: {what}\n{describe()}")
        time.sleep(_POLL)
