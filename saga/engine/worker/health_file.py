"""A worker's sign of life for whoever looks after processes on its machine: a file's age.

It needs neither Postgres nor Redis: when one of them is away, to restart the workers would only
make matters worse.
"""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

VARIABLE = "SAGA_HEALTH_DIR"


class Sign(NamedTuple):
    """What one worker's file says; `age` in seconds."""

    name: str
    pid: int
    age: float


def directory() -> Path:
    """SAGA_HEALTH_DIR, or one of this account's below the folder for temporary files."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(tempfile.gettempdir(), f"saga-health-{os.getuid()}")


class HealthFile:
    """The file of one worker process."""

    def __init__(self, name: str) -> None:
        folder = directory()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / f"{os.getpid()}.json"
        self._file.write_text(json.dumps({"name": name, "pid": os.getpid()}))
        self._lock = self._file.open("a")
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # as long as the process exists

    def beat(self) -> None:
        """All is well, now."""
        os.utime(self._file)

    def stop(self) -> None:
        """There is no such worker any more."""
        self._file.unlink(missing_ok=True)
        self._lock.close()


def signs() -> Iterator[Sign]:
    """Of all worker processes of this account on this machine; files that dead ones left go."""
    for file in sorted(directory().glob("*.json")):
        with suppress(OSError, ValueError, KeyError):
            if _is_held(file):
                found = json.loads(file.read_text())
                age = max(0.0, time.time() - file.stat().st_mtime)
                yield Sign(found["name"], found["pid"], age)
            else:
                file.unlink(missing_ok=True)


def _is_held(file: Path) -> bool:
    """Whether its worker exists; its number may be another process's by now."""
    with file.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
