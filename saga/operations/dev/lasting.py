"""What runs for as long as the stack does: it is started again when it ends."""

import signal
import time
from collections.abc import Callable
from typing import Protocol

import psycopg

from saga.engine.worker.watchdog import EXIT_CODE
from saga.operations.child_process import Child
from saga.operations.dev.errors import DevError
from saga.operations.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedRedis

_SETTLED = 60.0  # seconds; a child that gives up sooner cannot work at all
_QUICK = 5.0
_MOST_QUICK_DEATHS = 3
_LONGEST_PAUSE = 30.0
# A port may be taken, a disk be full, for a moment.
_PATIENCE = 30.0
_POLL = 0.2


class Lasting(Protocol):
    """A server or a child of the stack."""

    def look(self, stopped: Callable[[], bool]) -> None:
        """Start it again if it has ended. DevError when that is in vain."""


class LastingChild:
    """A worker, the API or Flower.

    Args:
        name: For messages, as the subject of a sentence.
        start: Runs it, the first time and each further time.
        without: How to do without it, for a message.
        explain: Why it may have ended as it started, if that can be told.
        had_begun: Whether a child that ended was at work: then it did not fail to start. A step
            may have ended it, again and again.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Child],
        say: Callable[[str], None],
        without: str = "",
        explain: Callable[[], str | None] = lambda: None,
        had_begun: Callable[[Child], bool] = lambda _: False,
    ) -> None:
        self._name = name
        self._start = start
        self._say = say
        self._without = without
        self._explain = explain
        self._had_begun = had_begun
        self._not_before = 0.0  # monotonic
        self._is_told = False  # of the child's end
        self._waits = False
        self._is_renewed = False
        self._deaths = _Deaths()
        self.child = start()

    def look(self, stopped: Callable[[], bool]) -> None:  # noqa: ARG002
        """DevError when it gave up, or was killed as it started, again and again."""
        if self.child.running or self._waits:
            return
        if not self._is_told:
            self._take_note(self.child)
        elif time.monotonic() >= self._not_before:
            self._is_told = False
            self.child.stop()
            self.child = self._start()

    def _take_note(self, dead: Child) -> None:
        status = dead.status or 0
        gave_up = status > 0 and status != EXIT_CODE and dead.age < _SETTLED
        too_many = self._deaths.are_too_many(dead.age)
        if (gave_up or too_many) and not self._had_begun(dead):
            why = self._explain() or "see above"
            text = f"{self._name} ended as it started ({_how(status)}): {why}{self._without}"
            if not self._is_renewed:
                raise DevError(text)
            self._say(f"{text}; the next change of a file starts it again")
            self._waits = True
            return
        pause = self._deaths.pause
        soon = f" in {pause:g} s" if pause else ""
        ended = f"{self._name} has ended (pid {dead.pid}, {_how(status)})"
        self._say(f"{ended}; another takes its place{soon}")
        self._is_told, self._not_before = True, time.monotonic() + pause

    def renew(self) -> None:
        """Another one, which has the code as it is now."""
        self.child.ask()
        self.child.stop()
        self._waits, self._is_renewed, self._is_told = False, True, False
        self.child = self._start()


class LastingServer:
    """Postgres or Redis, on the same port with the same data and password."""

    def __init__(
        self, name: str, server: EmbeddedPostgres | EmbeddedRedis, say: Callable[[str], None]
    ) -> None:
        self._name = name
        self._server = server
        self._say = say
        self._deaths = _Deaths()
        self._started = time.monotonic()

    def look(self, stopped: Callable[[], bool]) -> None:
        """DevError when it cannot be started, or ends again and again."""
        if self._server.running:
            return
        how = _how(self._server.status or 0)
        if self._deaths.are_too_many(time.monotonic() - self._started):
            raise DevError(f"{self._name} ends again and again ({how}): see {self._log}")
        self._say(f"{self._name} has ended ({how}); it is started again, with the same data")
        if self._is_started(stopped):
            self._say(f"{self._name} is back")

    @property
    def _log(self) -> str:
        return str(self._server.data_dir / "log")

    def _is_started(self, stopped: Callable[[], bool]) -> bool:
        """False when told to stop meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while not stopped():
            try:
                self._server.start()
            except (EmbeddedError, psycopg.OperationalError) as error:
                if time.monotonic() > deadline:
                    raise DevError(
                        f"{self._name} has ended and cannot be started again: {error}"
                    ) from error
                time.sleep(_POLL)
            else:
                self._started = time.monotonic()
                return True
        return False


class _Deaths:
    """Those in a row that came soon after a start."""

    def __init__(self) -> None:
        self._quick = 0

    def are_too_many(self, age: float) -> bool:
        """Counts one, of something that lived for `age` seconds."""
        self._quick = self._quick + 1 if age < _QUICK else 0
        return self._quick >= _MOST_QUICK_DEATHS

    @property
    def pause(self) -> float:
        """Seconds until another may start: what ends at once is not started all the time."""
        more = self._quick - _MOST_QUICK_DEATHS
        return 0.0 if more < 0 else min(_LONGEST_PAUSE, 2.0**more)


def _how(status: int) -> str:
    return f"exit code {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
