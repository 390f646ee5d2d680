"""What a server that was killed has left running."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_POLL = 0.01


def end_orphans(program: Path, folder: Path) -> None:
    """SIGKILL to each process of `program` that works in `folder`, and wait until they are gone.

    A Postgres process in the middle of a statement does not notice that its first process is dead.
    It holds the shared memory, and so keeps another server off the same data.
    """
    import psutil  # of the extra; who lacks it shall read our words

    left = [process for process in psutil.process_iter() if _is_of(process, program, folder)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    while any(map(lives, left)):
        time.sleep(_POLL)


def lives(process: psutil.Process) -> bool:
    """Whether it still holds memory and files; in a container nobody may ever reap a zombie."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _is_of(process: psutil.Process, program: Path, folder: Path) -> bool:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()) == folder and Path(process.exe()) == program
    return False
