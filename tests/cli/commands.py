"""Running commands: here in this process, or as a user does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from saga.core.declare.registry import registry
from saga.operations.cli import main

APPS = Path(__file__).parent / "apps"
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What a --json command printed: one line."""
        assert self.stdout.count("\n") == 1, self.stdout
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The error that a --json command printed."""
        return self.json["error"]


def run(*arguments: str, **environment: str) -> Done:
    """In this process, without the user's code. Nothing but `environment` of SAGA_* is set."""
    clean: Mapping[str, str | None] = {
        "SAGA_DATABASE_URL": None,
        "SAGA_BROKER_URL": None,
        "SAGA_APP": None,
        **environment,
    }
    with registry.sandbox():  # other tests of this process have sagas and steps of the same names
        result = CliRunner(env=clean).invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def spawn(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """As a user does, in the folder of the tests' apps."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAGA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "saga.operations.cli", *arguments],
        cwd=APPS,
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_outside(*arguments: str, **environment: str) -> Done:
    """As a user does, until it has ended."""
    process = spawn(*arguments, **environment)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    return Done(process.returncode, stdout, stderr)


def until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)
