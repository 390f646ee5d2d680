"""`saga dev` while one writes code: what it says of it, and that it takes up what changes."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saga.operations.dev.example import start_command
from tests.cli.commands import until

ROOT = Path(__file__).parents[2]
BAKERY = """
import saga


@saga.step(read_only=True)
def bake(loaves: int) -> str:
    return f"WORD {loaves}"


@saga.saga
async def order(loaves: int, wish: str = "") -> str:
    return await bake(loaves)
"""


class Developing:
    """A folder with a module, and `saga dev` in it."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.said = folder / "said.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SAGA_")},
            "PYTHONPATH": str(ROOT),
        }

    def write(self, text: str) -> None:
        (self.folder / "bakery.py").write_text(text)

    def text(self) -> str:
        return self.said.read_text()

    @contextmanager
    def running(self, *options: str) -> Generator[subprocess.Popen[bytes]]:
        command = ["--app", "bakery", "dev", "--directory", str(self.data), "--no-flower"]
        with self.said.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "saga.operations.cli", *command, "--no-api", *options],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def last_line(self) -> str:
        return until(
            lambda: "saga start" in self.text() and self.text().strip().splitlines()[-1],
            "the banner",
        )

    def does(self, command: str) -> str:
        binaries = Path(sys.executable).parent
        return subprocess.run(
            ["bash", "-c", f". {self.data}/env && PATH={binaries}:$PATH {command}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


@pytest.fixture
def bakery(tmp_path: Path, directory: Path) -> Developing:
    made = Developing(tmp_path, directory)
    made.write(BAKERY)
    return made


@pytest.mark.slow
def test_its_last_line_is_a_command_and_changed_code_is_taken_up(bakery: Developing) -> None:
    with bakery.running():
        command = bakery.last_line().partition(": ")[2]
        assert command == """saga start order --input '{"loaves": 1}' --wait 60"""
        assert "WORD 1" in bakery.does(command)
        text = bakery.text()
        assert "sagas: order (version 1)" in text
        assert "steps: bake" in text
        assert "serves the queues: default, sagas" in text
        assert "broker: redis://127.0.0.1" in text
        until(lambda: "bake succeeded: attempt 1" in bakery.text(), "a line for each step")
        bakery.write(BAKERY.replace("WORD", "fresh"))
        until(lambda: bakery.text().count("serves the queues") == 2, "it is there again")
        assert "fresh 1" in bakery.does(command)
        bakery.write("import saga\n1 / 0\n")
        until(lambda: "the next change of a file starts it again" in bakery.text(), "it says why")
        assert "importing bakery failed: ZeroDivisionError" in bakery.text().splitlines()[-1]
        bakery.write(BAKERY.replace("WORD", "again"))
        until(lambda: bakery.text().count("serves the queues") == 3, "it is there again")
        assert "again 1" in bakery.does(command)


@pytest.mark.slow
def test_a_module_without_sagas_an_app_with_its_own_broker_and_an_import_error(
    bakery: Developing, broker_url: str
) -> None:
    bakery.write("from typing import Any\n")
    with bakery.running():
        until(lambda: "found no saga and no step in what was imported" in bakery.text(), "a word")
    own = f"""
import os
from celery import Celery
import saga
app = Celery("bakery", broker={broker_url!r})
app.conf.broker_connection_retry_on_startup = True
saga.install(app, os.environ["SAGA_DATABASE_URL"])
"""
    bakery.write(own + BAKERY)
    with bakery.running("--loglevel", "WARNING"):
        until(lambda: "the app has a broker of its own, redis://" in bakery.text(), "it warns")
    bakery.write("import saga\nraise RuntimeError('no flour')\n")
    with bakery.running() as process:
        assert process.wait(60) != 0
    assert "RuntimeError: no flour" in "".join(bakery.text().splitlines()[-3:]), "where one looks"


def test_an_example_for_each_simple_type() -> None:
    types = ("string", "integer", "number", "boolean", "array", "object")
    schema = {
        "properties": {one: {"type": one} for one in types} | {"e": {"enum": ["x"]}, "later": {}},
        "required": [*types, "e"],
    }
    assert start_command("order it", schema) == (
        """saga start 'order it' --input '{"string": "text", "integer": 1, "number": 1.5, """
        """"boolean": true, "array": [], "object": {}, "e": "x"}' --wait 60"""
    )
    assert start_command("order", {}) == "saga start order --wait 60"
