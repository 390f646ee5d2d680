"""Waiting on a predicate."""

from __future__ import annotations

import time
from collections.abc import Callable


class StalledError(Exception):
    """What was waited for did not come in time."""


def until(holds: Callable[[], bool], what: str, timeout: float = 120, pause: float = 0.02) -> None:
    """Return when `holds()`; raise `StalledError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise StalledError(f"waited {timeout:g} s for {what}")
        time.sleep(pause)


def settled(count: Callable[[], int], wanted: int, patience: float, pause: float = 0.02) -> int:
    """Wait until `count()` is `wanted` or has stood still for `patience` seconds; return it."""
    seen, since = count(), time.monotonic()
    while seen < wanted and time.monotonic() - since < patience:
        time.sleep(pause)
        now = count()
        if now != seen:
            seen, since = now, time.monotonic()
    return seen
