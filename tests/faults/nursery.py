"""A process that has imported what workers import, and forks: they start in a third of the time.

It has imported nothing of `saga`, as fail points are armed by the environment at import.
"""

import importlib
import json
import os
import random
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any, NoReturn

from tests.faults.waiting import PATIENCE, until

ROOT = Path(__file__).parents[2]
_PRELOADED = (
    "alembic.runtime.migration",
    "alembic.script",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "psycopg_pool",
    "pydantic",
    "redis",
    "sqlalchemy.dialects.postgresql",
)
_LONGEST = 65536  # bytes of a request


class Forked:
    """A worker that the nursery has forked, as `Popen` would show it."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None

    @property
    def returncode(self) -> int | None:
        """Its exit code, if it is known to have ended."""
        return self._code

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self._code is None:
            self._code = self._nursery.ask({"poll": self.pid})
        return self._code

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit code, once it has ended."""
        until(lambda: self.poll() is not None, f"process {self.pid} ends", timeout)
        assert self._code is not None
        return self._code

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """The nursery, as tests see it."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, Any]) -> Any:
        """One request and its answer."""
        with self._lock:
            self._line.sendall(json.dumps(request).encode())
            return json.loads(self._line.recv(_LONGEST))

    def fork(self, log: Path, environment: Mapping[str, str], options: Mapping[str, Any]) -> Forked:
        """A new worker process."""
        request = {"log": str(log), "environment": environment, "options": options}
        return Forked(self, self.ask(request))


@contextmanager
def nursery() -> Generator[Nursery]:
    """A nursery; at the end whoever lives in it is killed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            process = Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.faults.nursery"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "NURSERY": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                start_new_session=True,
            )
        yield Nursery(ours)
    try:
        process.wait(10)
    except TimeoutExpired:
        process.kill()
        process.wait()


# What happens in the nursery.


def _serve(line: socket.socket) -> None:
    codes: dict[int, int | None] = {}
    while request := line.recv(_LONGEST):
        asked = json.loads(request)
        _reap(codes)
        if "poll" in asked:
            answer = codes.get(asked["poll"])
        else:
            answer = _fork(line, **asked)
            codes[answer] = None
        line.sendall(json.dumps(answer).encode())
    _reap(codes)
    for pid in (pid for pid, code in codes.items() if code is None):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _reap(codes: dict[int, int | None]) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            codes[pid] = os.waitstatus_to_exitcode(status)


def _fork(
    line: socket.socket, log: str, environment: dict[str, str], options: dict[str, Any]
) -> int:
    pid = os.fork()
    if pid == 0:
        line.close()
        _work(log, environment, options)
    os.setpgid(pid, pid)
    return pid


def _work(log: str, environment: dict[str, str], options: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)  # whoever is first, the nursery or its child
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.clear()
        os.environ.update(environment)
        random.seed()
        code = importlib.import_module("tests.faults.entry").main(options)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in _PRELOADED:
        importlib.import_module(name)
    assert "saga.failpoint" not in sys.modules
    with socket.socket(fileno=int(os.environ["NURSERY"])) as served:
        _serve(served)
