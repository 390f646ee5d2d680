"""One server process: spawn, wait until it answers, signal, end."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from saga.operations.embedded.account import Account, Switch
from saga.operations.embedded.errors import EmbeddedError
from saga.operations.embedded.guard import Guard
from saga.operations.embedded.orphans import lives

_POLL = 0.01
_PATIENCE = 10.0
_LOG_TAIL = 2_000


class ServerProcess:
    """A server that runs as our own child, in a session of its own.

    Ctrl-C in a terminal reaches the whole foreground group. Servers do not belong to it: they
    must outlast the workers that then finish their work.

    Args:
        name: For messages.
        home: Its folder; None: a temporary one, which `close` removes.
        abort: The signal that ends it at once and safely.
    """

    def __init__(self, name: str, home: Path | None, abort: signal.Signals) -> None:
        self._name = name
        self._abort = abort
        self._wanted_home = home
        self._home: Path | None = None
        self._guard: Guard | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """The server's folder, from `open` to `close`."""
        if self._home is None:
            raise EmbeddedError(f"The embedded {self._name} is not started.")
        return self._home

    @property
    def temporary(self) -> bool:
        """Whether `close` removes the folder."""
        return self._wanted_home is None

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._child is not None and self._child.poll() is None

    @property
    def status(self) -> int | None:
        """The exit code of the last process, negative for a signal; None while it runs."""
        return None if self._child is None else self._child.poll()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None or self._child.poll() is not None:
            raise EmbeddedError(f"The embedded {self._name} is not running.")
        return self._child.pid

    def open(self) -> None:
        """Make the folder and the guard; harmless when they exist."""
        if self._home is not None:
            return
        if self._wanted_home is None:
            self._home = Path(tempfile.mkdtemp(prefix=f"saga-{self._name.lower()}-"))
        else:
            self._home = self._wanted_home.absolute()
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._guard = Guard(self._abort, self._home if self.temporary else None)

    def spawn(
        self, argv: Sequence[str], *, account: Account | None = None, stdin: bytes = b""
    ) -> None:
        """Start the process; `wait_until` tells when it is of use."""
        assert self._guard is not None
        with _private(self.home / "log") as log:
            self._child = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                **(account.switch() if account else Switch()),
            )
        self._guard.watch(self._child.pid)
        assert self._child.stdin is not None
        # A server that ended before it read its settings says why in its log.
        with contextlib.suppress(BrokenPipeError), self._child.stdin as pipe:
            pipe.write(stdin)

    def wait_until(self, answers: Callable[[], bool], timeout: float) -> None:
        """Ask `answers` until it says yes.

        Raises:
            EmbeddedError: The process ended, or `timeout` seconds have passed. The text ends with
                what the server printed last.
        """
        deadline = time.monotonic() + timeout
        while not answers():
            if not self.running:
                raise EmbeddedError(f"The embedded {self._name} ended: {self.last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"The embedded {self._name} did not answer in {timeout:g} s: "
                    f"{self.last_words()}"
                )
            time.sleep(_POLL)

    def last_words(self) -> str:
        """The end of the log."""
        text = (self.home / "log").read_bytes().decode(errors="replace")
        return text[-_LOG_TAIL:].strip() or "it printed nothing"

    def end(self, how: signal.Signals) -> None:
        """Send `how` and wait; insist when that takes more than ten seconds."""
        for attempt in (how, self._abort):
            if not self.running:
                break
            self._signal(attempt)
            with contextlib.suppress(subprocess.TimeoutExpired):
                assert self._child is not None
                self._child.wait(_PATIENCE)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all that it started, and wait until they are gone.

        The process goes first, so that it cannot react to the death of its children.
        """
        if self._child is not None and self.running:
            import psutil  # of the extra; who lacks it shall read our words, and sooner

            family = [psutil.Process(self._child.pid)]
            family += family[0].children(recursive=True)
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            self._child.wait()
            while any(map(lives, family[1:])):
                time.sleep(_POLL)
        if self._guard is not None:
            self._guard.watch(None)

    def close(self) -> None:
        """Kill what still runs, end the guard and remove a temporary folder."""
        self.kill()
        if self._guard is not None:
            self._guard.release()
        self._guard = self._home = self._child = None

    def _signal(self, how: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            assert self._child is not None
            self._child.send_signal(how)


def _private(log: Path) -> BinaryIO:
    """A log that only we may read; the server writes to it as it is opened here."""
    opened = os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
    os.fchmod(opened.fileno(), 0o600)  # of an earlier release
    return opened
