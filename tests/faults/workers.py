"""Worker processes to kill, stop and wake."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.nursery import ROOT, Forked, Nursery
from tests.faults.waiting import until

MODULE = "tests.faults.sagas"


@dataclass(slots=True)
class Worker:
    """One `saga worker`, its children included."""

    process: subprocess.Popen[bytes] | Forked
    log: Path
    stopped: bool = field(default=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL, to the worker and to what it has forked."""
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        os.killpg(self.pid, signal.SIGSTOP)
        self.stopped = True

    def wake(self) -> None:
        """SIGCONT."""
        os.killpg(self.pid, signal.SIGCONT)
        self.stopped = False

    def terminate(self) -> None:
        """SIGTERM: it finishes what it does."""
        self.process.terminate()

    def end(self) -> None:
        """Over, however that comes about."""
        if not self.is_dead:
            os.killpg(self.pid, signal.SIGCONT)
            self.kill()

    def await_death(self) -> None:
        """Until it has died of its fail point."""
        until(lambda: self.is_dead, "the worker dies", describe=self.last_words)

    def await_stop(self) -> None:
        """Until it has stopped at its fail point."""
        status = Path(f"/proc/{self.pid}/stat")
        until(
            lambda: status.read_text().rpartition(")")[2].split()[0] == "T",
            "the worker stops",
            describe=self.last_words,
        )
        self.stopped = True

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]


def spawn(
    nursery: Nursery,
    log: Path,
    environment: Mapping[str, str],
    *,
    modules: Sequence[str] = (MODULE,),
    **options: Any,
) -> Worker:
    """Starts a worker; the options are those of `run_worker`."""
    options = {"modules": list(modules), **options}
    own = {"LD_PRELOAD", "PYTHONHASHSEED"} & environment.keys()  # what an interpreter begins with
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    log.touch()
    if not own:
        return Worker(nursery.fork(log, environment, options), log)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.faults.entry", json.dumps(options)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return Worker(process, log)
