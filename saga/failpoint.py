"""Named points where a test may make the process die, stop or fail; inert unless armed.

`SAGA_FAILPOINTS="P6=kill@3,P9=raise"`: the third time that P6 is passed the process kills itself,
the first time that P9 is passed an exception is raised. Actions: `kill` (SIGKILL), `stop`
(SIGSTOP), `raise` (RuntimeError), `lose` (closes the database connection at hand, as if its reply
had been lost). With `SAGA_FAILPOINTS_DIR` each action leaves a file there, so that a run can tell
that its fault happened, and it happens once for all processes of a run.
"""

import os
import signal
from pathlib import Path
from typing import Any, Protocol

import psycopg


class FailPoint(Protocol):
    def __call__(self, name: str, connection: Any = None) -> None: ...


def _inert(name: str, connection: Any = None) -> None:
    """Nothing is armed."""


class _Armed:
    def __init__(self, spec: str, directory: str | None) -> None:
        self._directory = Path(directory) if directory else None
        self._actions: dict[str, tuple[str, int]] = {}
        self._passed: dict[str, int] = {}
        for item in spec.split(","):
            name, _, action = item.strip().partition("=")
            verb, _, nth = action.partition("@")
            self._actions[name] = (verb, int(nth or 1))

    def __call__(self, name: str, connection: Any = None) -> None:
        if name not in self._actions:
            return
        verb, nth = self._actions[name]
        self._passed[name] = self._passed.get(name, 0) + 1
        if self._passed[name] != nth or not self._first(name):
            return
        self._act(verb, name, connection)

    def _first(self, name: str) -> bool:
        if self._directory is None:
            return True
        try:
            (self._directory / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    @staticmethod
    def _act(verb: str, name: str, connection: Any) -> None:
        if verb == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif verb == "lose":
            connection.close()
            raise psycopg.OperationalError(f"fail point {name}: the reply was lost")
        else:
            raise RuntimeError(f"fail point {name}")


def _from_environment() -> FailPoint:
    spec = os.environ.get("SAGA_FAILPOINTS")
    return _Armed(spec, os.environ.get("SAGA_FAILPOINTS_DIR")) if spec else _inert


failpoint: FailPoint = _from_environment()
