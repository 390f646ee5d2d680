"""Waiting until Postgres notifies, somebody rings, or time has passed; idle, it costs nothing."""

import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg

from saga.storage import due
from saga.storage.hot.store import Store

_CHANNEL = "saga_due"
_SOON = 0.01  # seconds


class Bell:
    """For one thread that waits. Others may `ring`."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._heard = False
        self._closing = threading.Lock()
        self._is_closed = False

    def listen(self, connection: psycopg.Connection) -> None:
        """From now on, what is started or signalled in SQL, or planned for soon, ends a `wait` on
        this connection.
        """
        connection.add_notify_handler(self._hear)  # for what arrives with a query's answer
        connection.execute(f"LISTEN {_CHANNEL}", prepare=False)

    def _hear(self, _: psycopg.Notify) -> None:
        self._heard = True

    def ring(self) -> None:
        """Ends a `wait`, or the next one; from any thread."""
        with self._closing, suppress(BlockingIOError):  # it has been rung often enough
            if not self._is_closed:
                os.write(self._writer, b"x")

    def wait(self, connection: psycopg.Connection | None, seconds: float) -> bool:
        """Whether anything was heard. Returns soon if that was since the last time, so that many
        notes are one.
        """
        had_heard, self._heard = self._heard, False
        if had_heard:
            connection, seconds = None, min(seconds, _SOON)
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if connection is not None:
            poll.register(connection.fileno(), select.POLLIN)
        ready = {number for number, _ in poll.poll(seconds * 1000)}
        if self._reader in ready:
            os.read(self._reader, 4096)
        if ready - {self._reader} and connection is not None:
            _take_in(connection)
        return had_heard or bool(ready)

    def close(self) -> None:
        """Nobody waits any more; whoever rings still does nothing."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._reader)
                os.close(self._writer)


def _take_in(connection: psycopg.Connection) -> None:
    """Takes what the server has sent; raises OperationalError if that was a farewell."""
    connection.pgconn.consume_input()
    while connection.pgconn.notifies():
        pass


IDLE = 2.0
"""Seconds: the longest that a sweeper waits when nothing is due sooner."""


BUSY = 0.5
"""Seconds: the longest that it waits when something is."""


class Ringer:
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
