"""Which sagas' code runs on which threads, and how to get it off one when it does not come back."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from saga.core import tracebacks
from saga.core.states import SagaStatus
from saga.engine.advance.live import Live

T = TypeVar("T")

_LONG = 0.05  # seconds that code computes at a stretch, before the others are let in more often
_FAIR = 0.0001  # seconds; Python's own 0.005 costs the others most of their time

_WAITS = 3.0  # so many seconds of waiting count for one of computing
_QUICK = 0.005  # seconds of computing, for which the others' decisions may wait
_FEW = 2_000  # steps, among which the next undos are found in 2 ms
_PROBATION = 100  # decisions of a definition that were quick again, until the others' wait for it

MOST_INTERRUPTS = 5
"""Code that catches so many interruptions and goes on is not to be stopped by another."""


class RanTooLong(KeyboardInterrupt):
    """Raised in a saga's code that has run too long without awaiting. No `except Exception` of the
    saga's takes it for an error of a step, and asyncio lets it pass.
    """


@dataclass(slots=True, eq=False)
class Running:
    """A saga's code on a thread, since a time of `time.monotonic`."""

    live: Live
    thread: int
    since: float
    applied: int = -1  # of the journal, when somebody last looked
    computed: float = 0.0  # seconds of its thread's, by then
    interrupts: int = 0

    @property
    def saga_id(self) -> UUID:
        return self.live.saga_id

    def place(self) -> str | None:
        """The innermost line of the user's code, as `shop.py:31 in order`."""
        frame = sys._current_frames().get(self.thread)  # pyright: ignore[reportPrivateUsage]
        return tracebacks.place_in(frame)

    def has_run_for(self, now: float) -> float:
        """Seconds since it last took something from its journal: of computing, as others may keep
        it from the interpreter, or a third of those of a clock, as it may wait. A replay from the
        beginning, which takes a millisecond an entry at the most, is not seen to.
        """
        run = self.live.run
        applied = 0 if run is None else run.applied
        computed = _computed_by(self.thread)
        if applied != self.applied:
            self.applied, self.since, self.computed = applied, now, computed
        seconds = max(computed - self.computed, (now - self.since) / _WAITS)
        return seconds - (self.live.seen.events / 1000 if run is None else 0.0)


def _computed_by(thread: int) -> float:
    """Seconds of processor time; 0 where the system does not tell."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread))
    except (AttributeError, OSError):
        return 0.0


class CodeWatch:
    """Safe for threads. What runs here is the user's, and may never return."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Running] = {}
        self._on_probation: dict[tuple[str, int], int] = {}
        self._usual: float | None = None  # how often threads take turns, while it is more often

    def run(self, live: Live, code: Callable[[], T]) -> T:
        """Calls something that runs the saga's code on this thread."""
        thread = threading.get_ident()
        now = time.monotonic()
        if self._running:
            self._take_turns(now)
        running = self._running[thread] = Running(live, thread, now)
        began = time.thread_time()
        try:
            try:
                return code()
            finally:
                self._leave(running)
        except RanTooLong:
            self._leave(running)  # it may have come in the middle of leaving
            raise
        finally:
            self._note(live, time.thread_time() - began)

    def is_quick(self, live: Live) -> bool:
        """Whether what is next for a saga takes no time, as far as its definition's other sagas
        tell. Where its code is not at hand, that is not known.
        """
        if live.status == SagaStatus.COMPENSATING:
            return live.rows is not None and len(live.rows) <= _FEW
        return live.run is not None and (live.name, live.version) not in self._on_probation

    def _note(self, live: Live, seconds: float) -> None:
        definition = live.name, live.version
        if seconds > _QUICK:
            self._on_probation[definition] = _PROBATION
        elif definition in self._on_probation:
            with self._lock:
                left = self._on_probation.pop(definition, 0) - 1
                if left > 0:
                    self._on_probation[definition] = left

    def close(self, live: Live | None) -> None:
        """Throws the saga's coroutine away, whose clean-up runs."""
        if live is not None and live.run is not None:
            with suppress(RanTooLong):
                self.run(live, live.close)
            live.run = None

    def _leave(self, running: Running) -> None:
        """From here on nobody interrupts this thread, nor has an interruption yet to come."""
        with self._lock:
            self._running.pop(running.thread, None)
            if running.interrupts:
                _interrupt(running.thread, None)
        if self._usual is not None:
            self._take_turns(time.monotonic())

    def _take_turns(self, now: float) -> None:
        """Threads whose short work waits for the interpreter get it sooner while others compute."""
        is_long = any(now - each.since > _LONG for each in list(self._running.values()))
        with self._lock:
            if is_long and self._usual is None:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(_FAIR)
            elif not is_long and self._usual is not None:
                sys.setswitchinterval(self._usual)
                self._usual = None

    @property
    def sagas(self) -> list[UUID]:
        """Those whose code runs now."""
        return [running.saga_id for running in list(self._running.values())]

    def overdue(self, seconds: float) -> list[Running]:
        """What has run so long since it last took something from its journal."""
        now = time.monotonic()
        return [each for each in list(self._running.values()) if each.has_run_for(now) >= seconds]

    def interrupt(self, running: Running) -> bool:
        """Raises RanTooLong in the code at its next instruction; False if it takes no notice."""
        with self._lock:
            if self._running.get(running.thread) is not running:
                return True
            if running.interrupts >= MOST_INTERRUPTS:
                return False
            running.interrupts += 1
            _interrupt(running.thread, RanTooLong)
            return True


def _interrupt(thread: int, error: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
