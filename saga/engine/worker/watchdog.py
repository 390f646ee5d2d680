"""Ends a process that lives but no longer works, so that its supervisor starts another.

Everything such a process holds is taken over like that of any dead worker. A file that the watchdog
touches while all is well is what `saga health` looks at; it gets old when the process is stopped or
hangs as a whole.
"""

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence

from saga.engine.worker.health_file import HealthFile
from saga.engine.worker.vital_signs import Vital

log = logging.getLogger("saga.watchdog")

EXIT_CODE = 70
"""Of a worker that its watchdog has ended."""


def _end() -> None:
    """At once: a process that hangs cannot be asked to stop."""
    os._exit(EXIT_CODE)


class Watchdog:
    """Asks each vital sign every few seconds; one that complains for `patience` s is fatal.

    The `is_last_resort` of a process ends it even if the interpreter itself hangs.
    """

    def __init__(
        self,
        vitals: Sequence[Vital],
        patience: float,
        pulse: HealthFile | None = None,
        end: Callable[[], None] = _end,
        *,
        is_last_resort: bool = False,
    ) -> None:
        self._vitals = list(vitals)
        self._patience = patience
        self._pulse = pulse
        self._end = end
        self._is_last_resort = is_last_resort
        self._every = min(3.0, patience / 10)
        self._since: dict[Vital, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="saga-watchdog", daemon=True)

    def start(self) -> None:
        self._arm()  # what hangs may come before the first round
        self._thread.start()

    def stop(self) -> None:
        """The process ends by itself."""
        self._stopping.set()
        if self._is_last_resort:
            faulthandler.cancel_dump_traceback_later()
        if self._pulse is not None:
            self._pulse.stop()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self.look()
            except Exception:
                log.exception("the watchdog stumbled")

    def look(self) -> None:
        """One round."""
        self._arm()
        now = time.monotonic()
        complaints = {vital: text for vital in self._vitals if (text := vital.complaint())}
        self._since = {vital: self._since.get(vital, now) for vital in complaints}
        for vital, text in complaints.items():
            if now - self._since[vital] >= self._patience and not self._stopping.is_set():
                self._bark(text)
        if self._pulse is not None:
            self._pulse.beat()

    def _arm(self) -> None:
        """Code that never gives up the interpreter stops this thread, too: not that timer's."""
        if self._is_last_resort and not self._stopping.is_set():
            faulthandler.dump_traceback_later(
                self._patience + self._every, exit=True, file=sys.__stderr__ or 2
            )

    def _bark(self, text: str) -> None:
        log.critical(
            "the watchdog ends worker process %d after %g seconds: %s",
            os.getpid(),
            self._patience,
            text,
        )
        if self._pulse is not None:
            self._pulse.stop()
        faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
        self._end()
