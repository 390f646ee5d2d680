"""That a worker has stopped in time, whatever holds up its main thread: a step of a solo pool, a
server that does not answer.
"""

import logging
import threading
from collections.abc import Callable

from saga.execution.own_process import leave

log = logging.getLogger("saga.worker")

_GRACE = 10.0  # seconds beyond the time for steps; with servers that answer a stop takes one or two


class Leaver:
    """A thread that gives this process's steps their time, and then hands them over.

    `end` ends the process, if it is still there a while later; None: it is left to itself.
    """

    def __init__(self, drain: float, end: Callable[[], None] | None) -> None:
        self._drain = drain
        self._end = end
        self._is_told = False
        self._told = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="saga-leaver", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self) -> None:
        """That the worker is to stop. Signal handlers may call it, also one in another."""
        if not self._is_told:
            self._is_told = True
            self._told.set()

    def wait(self) -> None:
        """Until the steps have finished or are handed over, unless that takes too long."""
        if self._thread.is_alive():
            self._thread.join(self._drain + _GRACE)

    def done(self) -> None:
        """The worker has stopped."""
        self._stopped.set()

    def _run(self) -> None:
        self._told.wait()
        if self._end is not None:
            threading.Thread(target=self._insist, name="saga-deadline", daemon=True).start()
        leave(self._drain)

    def _insist(self) -> None:
        if not self._stopped.wait(self._drain + _GRACE) and self._end is not None:
            log.warning("the worker could not stop in time and is ended")
            self._end()
