"""A running `saga dev`, as a user has it in a terminal."""

import contextlib
import json
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from saga.operations.embedded.orphans import lives
from tests.cli.commands import spawn, until
from tests.live.http import Api


@dataclass
class Dev:
    """A running `saga dev`."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    said: list[str] = field(default_factory=list[str])
    rest: str = ""

    def __post_init__(self) -> None:
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        self.said.extend(self.process.stderr)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "SAGA_DATABASE_URL": self.ready["database_url"],
            "SAGA_BROKER_URL": self.ready["broker_url"],
        }

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, word: str) -> psutil.Process | None:
        """Its own child with that word in the command line."""
        for child in psutil.Process(self.process.pid).children():
            if word in command_line(child):
                return child
        return None

    def kill(self, word: str) -> None:
        """SIGKILL to that child, and wait until another one is there."""
        victim = self.find(word)
        assert victim is not None, word
        victim.kill()
        until(lambda: self.find(word) not in (None, victim), f"another {word}")

    @property
    def ended_with(self) -> dict[str, Any]:
        """The error that it ended with."""
        return json.loads(self.rest)["error"]

    def has_said(self, text: str) -> bool:
        return any(text in line for line in self.said)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.wait()

    def wait(self) -> None:
        self.process.wait(60)
        self._listener.join(60)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.stderr.close()


class Start(Protocol):
    """Runs `saga dev` in the test's folder."""

    def __call__(self, *options: str, **environment: str) -> Dev: ...


def started(directory: Path, *options: str, **environment: str) -> Dev:
    """Once it is ready."""
    settings = {"SHOP_NOTES": str(directory.parent), **environment}
    process = spawn("--json", "dev", "--directory", str(directory), *options, **settings)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=60)
    return Dev(process, json.loads(line))


def command_line(process: psutil.Process) -> str:
    """Empty if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def gone(family: list[psutil.Process]) -> bool:
    return not any(process.is_running() and lives(process) for process in family)


def flower_says(flower: dict[str, str], password: str) -> int:
    """The HTTP status, 0 if it does not answer."""
    token = b64encode(f"{flower['user']}:{password}".encode()).decode()
    request = urllib.request.Request(flower["url"], headers={"Authorization": f"Basic {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def api_answers(api: Api) -> bool:
    with contextlib.suppress(OSError):
        return api.get("/v1/sagas").status == 200
    return False
