"""That a worker is there which has the code of some sagas: starts by name prefer what can run."""

import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from saga.storage import announcements
from saga.storage.callers import executor

_EVERY = 3.0  # seconds; `saga.definition_of` believes it for 20


class Attendance:
    """Of the `sagas` (name, version) of one worker. Its calls share a connection with others."""

    def __init__(self, sagas: Sequence[tuple[str, int]]) -> None:
        self._sagas = sagas
        self._said_at: float | None = None

    def say(self, connection: psycopg.Connection) -> None:
        """Says so, if it is time to."""
        now = time.monotonic()
        if self._sagas and (self._said_at is None or now - self._said_at >= _EVERY):
            announcements.stay_announced(executor(connection), self._sagas)
            self._said_at = now

    def end(self, connection: psycopg.Connection) -> None:
        """The worker stops: what is started by name from now on is for those that go on."""
        if self._sagas:
            with suppress(psycopg.Error):
                announcements.withdraw(executor(connection), self._sagas)
