"""A child process that ends with us, however we end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from saga.operations.embedded.guard import Guard

_PATIENCE = 20.0


class Child:
    """A process in a session of its own: a Ctrl-C in the terminal is ours to pass on.

    Its output goes where ours goes, all of it to stderr.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._guard = Guard(signal.SIGTERM, None)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        self._guard.watch(self._process.pid)
        self._started = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def ask(self) -> None:
        """SIGTERM: finish what you do, and end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def stop(self) -> None:
        """Wait for it to end after `ask`, and insist when that takes too long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        if self.running:
            self._kill_family()
        self._process.wait()
        self._guard.release()

    def _kill_family(self) -> None:
        """SIGKILL to the whole session: a prefork worker has children of its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
