"""The demo's child processes: the services and the workers. None outlives the demo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from saga.operations.embedded.guard import Guard

PATIENCE = 15.0
LOG_TAIL = 2000


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


class Child:
    """One process in a session of its own, so that a Ctrl-C in the terminal is ours to handle."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        *,
        piped: bool = False,
    ) -> None:
        self._guard = Guard(signal.SIGKILL, None)
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._guard.watch(self.process.pid)

    def kill(self) -> None:
        """SIGKILL: nothing in the process gets a chance to tidy up."""
        self.process.kill()
        self._end()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(PATIENCE)
        self.kill()

    def last_words(self) -> str:
        """The end of what it printed on stderr."""
        return self._log.read_text("utf-8", "replace")[-LOG_TAIL:].strip() or "it printed nothing"

    def _end(self) -> None:
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self._guard.watch(None)
        self._guard.release()


def start_services(directory: Path, trouble: float) -> tuple[Child, dict[str, str]]:
    """Start the services; gives the process and each service's address by its name."""
    command = ["-m", "saga.operations.demo.services", "--dir", str(directory)]
    log = directory / "services.log"
    child = Child([sys.executable, *command, "--trouble", str(trouble)], log, piped=True)
    assert child.process.stdout is not None
    line = child.process.stdout.readline()
    if not line:
        words = child.last_words()
        child.kill()
        raise DemoError(f"the demo's services did not start: {words}")
    return child, json.loads(line)


class Workers:
    """The worker processes; all alike, so that any of them can be lost."""

    def __init__(self, command: Sequence[str], directory: Path, env: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "saga.operations.cli", "worker", *command]
        self._directory = directory
        self._environment = env
        self._running: list[Child] = []
        self._started = 0

    def start(self, count: int = 1) -> None:
        """Start some more."""
        for _ in range(count):
            self._started += 1
            log = self._directory / f"worker-{self._started}.log"
            self._running.append(Child(self._command, log, self._environment))

    def kill_one(self) -> int:
        """Kill the oldest with SIGKILL and start another in its place; gives the dead one's id."""
        victim = self._running.pop(0)
        victim.kill()
        self.start()
        return victim.process.pid

    def check(self) -> None:
        """DemoError when one has ended by itself."""
        for child in self._running:
            if child.process.poll() is not None:
                raise DemoError(
                    f"a worker ended by itself ({child.process.returncode}): {child.last_words()}"
                )

    def stop(self) -> None:
        """End all: first ask every one of them, then wait."""
        for child in self._running:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        while self._running:
            self._running.pop().stop()
