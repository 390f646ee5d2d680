"""Tells the sweeper of what is planned sooner than it would look again."""

from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg

from saga.storage import due
from saga.storage.hot.store import Store

IDLE = 2.0
"""Seconds: the longest that a sweeper waits when nothing is due sooner."""
BUSY = 0.5
"""Seconds: the longest that it waits when something is."""


class Foreseen:
    """What this process has planned. A lost word makes a timer late by `IDLE`, no more.

    A sweeper that was told looks every `BUSY` seconds for longer than that, whatever it finds:
    until then another word would change little.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told_until = 0.0  # by the database's clock, which a failover may set back

    def plan(self, times: Iterable[float], store: Store) -> None:
        """These are due then, by the database's clock; all of them have been written."""
        now = self._clock()
        if now < self._told_until <= now + BUSY:
            return
        if any(time - now < IDLE for time in times):
            self._told_until = now + BUSY
            with suppress(psycopg.Error):  # what has landed is not to fail for it
                due.ring(store.connection)
