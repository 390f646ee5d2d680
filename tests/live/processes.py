"""Processes of the command line, as users start them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg

from saga import Unavailable

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds; far more than anything here takes on an idle machine."""


class Process:
    """A `saga ...` of its own session."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saga.operations.cli", *arguments],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, to what it has forked too."""
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self._process.terminate()
        return self._process.wait(timeout=PATIENCE)


@contextmanager
def saga_process(*arguments: str, environment: Mapping[str, str], log: Path) -> Generator[Process]:
    """Runs `saga ...` inside the block."""
    process = Process(list(arguments), environment, log)
    try:
        yield process
    finally:
        process.kill()


def until(
    predicate: Callable[[], T],
    what: str,
    *,
    describe: Callable[[], str] = str,
    within: float = PATIENCE,
) -> T:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + within
    while True:
        try:
            answer = predicate()
        except (psycopg.OperationalError, Unavailable):
            if time.monotonic() > deadline:
                raise
        else:
            if answer:
                return answer
        assert time.monotonic() < deadline, f"not in {within:g} s: {what}\n{describe()}"
        time.sleep(0.05)


def announced(database_url: str, table: str = "saga.worker") -> bool:
    """Whether a worker has a lease; with `saga.definition`: has said which sagas it knows."""
    with psycopg.connect(database_url) as connection:
        return bool(connection.execute(f"SELECT FROM {table}".encode()).fetchall())


@contextmanager
def shop_worker(
    database_url: str,
    broker_url: str,
    log: Path,
    *options: str,
    app: str = "tests.live.shop",
    **environment: str,
) -> Generator[Process]:
    """A worker of `tests.live.shop` that is ready."""
    urls = {"SAGA_DATABASE_URL": database_url, "SAGA_BROKER_URL": broker_url}
    command = ("--app", app, "worker", "--concurrency", "4", *options)
    with saga_process(*command, environment=urls | environment, log=log) as worker:
        # The processes of a pool take their leases when they first need them.
        table = "saga.definition" if "prefork" in options else "saga.worker"
        until(
            lambda: announced(database_url, table),
            "the worker is ready",
            describe=lambda: worker.output,
        )
        yield worker
