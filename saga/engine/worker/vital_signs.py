"""Signs that a worker process still does its work, as it can see them itself.

Each sign answers with a complaint while it sees nothing happen that should. What Postgres or the
broker keep from happening is no complaint: to end a worker would not bring them back.
"""

import time
from collections.abc import Callable
from typing import Protocol

import psycopg

from saga.engine.sweep.sweeper import Sweeper
from saga.engine.worker.process import WorkerProcess
from saga.storage.connect import connect

_SLOW = 3.0  # seconds


class Vital(Protocol):
    """Something to ask every few seconds."""

    def complaint(self) -> str | None:
        """What does not move, if something does not; it counts once it stays that way."""
        ...


class Postgres:
    """Whether it answers, on a connection of this one's own."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def answers(self) -> bool:
        try:
            with connect(self._url, "saga watchdog") as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True


class LeaseVital:
    """The lease is renewed."""

    def __init__(self, process: WorkerProcess, postgres: Postgres) -> None:
        self._presence = process.presence
        self._postgres = postgres

    def complaint(self) -> str | None:
        if not self._presence.is_alive:
            return "the thread that renews its lease has ended"
        if not self._presence.is_held and self._postgres.answers():
            return "its lease is not renewed, though Postgres answers"
        return None


class ConductorVital:
    """Outcomes are recorded and steps claimed, if there are any."""

    def __init__(self, process: WorkerProcess, postgres: Postgres) -> None:
        self._conductor = process.conductor
        self._postgres = postgres
        self._seen = -1

    def complaint(self) -> str | None:
        if self._conductor.deaf is not None:
            return f"the code of saga {self._conductor.deaf} keeps a thread, whatever it is told"
        seen, self._seen = self._seen, self._conductor.batches
        if seen != self._seen or not self._conductor.is_busy or not self._postgres.answers():
            return None
        return "no outcome is recorded and no step claimed, though Postgres answers"


class AsyncVital:
    """The event loop of `async def` steps turns: a step that blocks it keeps all others waiting."""

    def __init__(self, process: WorkerProcess) -> None:
        self._loop = process.event_loop
        self._asked = 0.0
        self._answered = 0.0

    def complaint(self) -> str | None:
        waiting = self._answered < self._asked
        if waiting and time.monotonic() - self._asked > _SLOW:
            return "a step blocks the event loop of all `async def` steps"
        if not waiting:
            self._asked = time.monotonic()
            if not self._loop.call_soon(self._answer):
                self._answer()
        return None

    def _answer(self) -> None:
        self._answered = time.monotonic()


class SweeperVital:
    """The sweeper goes its rounds."""

    def __init__(self, sweeper: Sweeper, postgres: Postgres) -> None:
        self._sweeper = sweeper
        self._postgres = postgres

    def complaint(self) -> str | None:
        if not self._sweeper.is_alive:
            return "the sweeper's thread has ended"
        if time.monotonic() - self._sweeper.round_at > _SLOW and self._postgres.answers():
            return "the sweeper stands still, though Postgres answers"
        return None


class Beat:
    """Something that is to beat `EVERY` so many seconds, unless `excused`."""

    EVERY = 2.5

    def __init__(self, name: str, excused: Callable[[], bool]) -> None:
        self._name = name
        self._excused = excused
        self._at: float | None = None  # until the first beat it has not begun

    def beat(self) -> None:
        self._at = time.monotonic()

    def complaint(self) -> str | None:
        if self._at is None or time.monotonic() - self._at < self.EVERY + _SLOW or self._excused():
            return None
        return f"{self._name} stands still"
