"""Tells the sweeper of what is planned sooner than it would look again."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg

from saga.storage import due
from saga.storage.store import Store

IDLE = 2.0
"""Seconds: the longest that a sweeper waits when nothing is due sooner."""


class Foreseen:
    """What this process has planned. A lost word makes a timer late by `IDLE`, no more.

    A sweeper that knows of anything due so soon looks often enough until then. So one word is
    enough until the time that it was about.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known_until = 0.0  # by the database's clock

    def plan(self, times: Iterable[float], store: Store) -> None:
        """These are due then, by the database's clock; all of them have been written."""
        now = self._clock()
        if now < self._known_until:
            return
        soon = [time for time in times if time - now < IDLE]
        if soon:
            with suppress(psycopg.Error):  # what has landed is not to fail for it
                due.ring(store.connection)
                self._known_until = max(soon)
