"""A user's own Celery app on its workers: what it was installed with, and what else it may do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from tests.live.processes import PATIENCE, until

PROJECT = """
import os
import time
from pathlib import Path

from celery import Celery, signals

import saga
from saga.execution.settings import settings_of

app = Celery("shopproject", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
app.conf.worker_prefetch_multiplier = 1
NOTES = Path(os.environ["NOTES"])


@app.task(rate_limit="1/h")
def greet(name: str) -> None:
    with NOTES.open("a") as file:
        file.write(name + "\\n")


@app.task
def linger(path: str) -> None:
    greet.run("lingers")
    while not Path(path).exists():
        time.sleep(0.02)
    time.sleep(1)  # far longer than a worker without anything to do takes to exit
    greet.run("is done")


@saga.saga
async def buy() -> None: ...


saga.install(app, os.environ["DATABASE"], drain=7.0, watchdog=3.0)


@signals.worker_ready.connect
def note(sender, **_):
    settings = settings_of(sender.app)
    NOTES.with_suffix(".settings").write_text(f"[{settings.drain}, {settings.watchdog}]")
"""


class Project:
    """A folder with the user's project."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.folder = folder
        self.log = folder / "worker.log"
        (folder / "shopproject.py").write_text(PROJECT)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SAGA_")},
            "BROKER": broker_url,
            "DATABASE": database_url,
            "NOTES": str(folder / "notes"),
            "SAGA_HEALTH_DIR": str(folder / "health"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    @contextmanager
    def worker(self, *arguments: str) -> Generator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as out:
            worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *arguments],
                cwd=self.folder,
                env=self._environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            until(lambda: self.settings() is not None, "it is ready", describe=self.log.read_text)
            yield worker
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()

    def settings(self) -> list[float] | None:
        path = self.folder / "notes.settings"
        return json.loads(path.read_text() or "null") if path.exists() else None

    def notes(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def project(tmp_path: Path, database_url: str, broker_url: str) -> Project:
    return Project(tmp_path, database_url, broker_url)


@pytest.mark.parametrize(
    ("options", "settings"),
    [((), [7, 3]), (("--drain", "5"), [5, 3]), (("--watchdog", "5"), [7, 5])],
)
def test_a_worker_does_what_it_is_told_or_what_its_app_was(
    project: Project, options: tuple[str, ...], settings: list[float]
) -> None:
    command = ("saga.operations.cli", "--app", "shopproject:app", "worker", *options)
    with project.worker(*command):
        assert project.settings() == settings


def test_tasks_that_wait_for_their_rate_limit_are_no_standstill(
    project: Project, broker_url: str
) -> None:
    sender = Celery(broker=broker_url, set_as_current=False)
    arguments = ["-A", "shopproject", "worker", "-P", "threads", "-c", "2"]
    with project.worker("celery", *arguments, "-Q", "celery,default,sagas") as worker:
        for number in range(8):
            sender.send_task("shopproject.greet", [str(number)])
        until(project.notes, "one of them may run")
        file = project.folder / "health" / f"{worker.pid}.json"
        begun = file.stat().st_mtime
        until(lambda: file.stat().st_mtime > begun + 9, "the watchdog goes on looking")
        assert worker.poll() is None
        assert len(project.notes()) == 1


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_stops_lets_tasks_of_the_app_finish(
    project: Project, broker_url: str, pool: str
) -> None:
    path = project.folder / "go on"
    sender = Celery(broker=broker_url, set_as_current=False)
    command = ("saga.operations.cli", "--app", "shopproject:app", "worker", "--loglevel", "info")
    with project.worker(*command, "--pool", pool, "--queues", "celery") as worker:
        sender.send_task("shopproject.linger", [str(path)])
        until(project.notes, "it is at work")
        worker.terminate()
        until(lambda: "takes up no more" in project.log.read_text(), "the worker has heard")
        path.touch()
        assert worker.wait(timeout=PATIENCE) == 0
    assert project.notes() == ["lingers", "is done"]
