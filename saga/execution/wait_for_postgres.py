"""Starting a worker while Postgres is away: it comes up when Postgres does."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from celery.worker import state

from saga.storage.errors import told

log = logging.getLogger("saga.worker")
T = TypeVar("T")

_PATIENCE = 60.0  # seconds; then whoever supervises the worker is to see that something is wrong
_FIRST, _LONGEST = 0.5, 5.0  # seconds from one try to the next
_LOOK = 0.5  # seconds after which a worker notices that it is to stop


def patiently(work: Callable[[], T], patience: float = _PATIENCE) -> T:
    """What `work` returns, once Postgres answers; its last error when that takes too long.

    Ends with Celery's own exceptions when the worker is told to stop meanwhile.
    """
    until = time.monotonic() + patience
    pause = _FIRST
    while True:
        try:
            return work()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise
            log.warning("%s; next try in %g s", told(error), pause)
        _rest(pause)
        pause = min(2 * pause, _LONGEST)


def _rest(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        state.maybe_shutdown()
