"""A project with its own routes, moved by the guide: what its workers say and do."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saga import Client, SagaFailed
from tests.live.processes import until

ROOT = Path(__file__).parents[2]
APP = """
import os

from celery import Celery

import saga

app = Celery("bookshop", broker=os.environ["BROKER"])
app.conf.update(
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    task_routes={"bookshop_tasks.charge": {"queue": "payments"}},
    include=["bookshop_tasks"],
)
saga.install(app, os.environ["DATABASE"])
"""
TASKS = """
import json
import os
from pathlib import Path

from celery import Task, shared_task

import saga

NOTES = Path(os.environ["NOTES"])


class Kept(Task):
    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note("on_retry", task_id, args)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", type(exc).__name__)


def note(*what):
    with NOTES.open("a") as file:
        print(json.dumps(what), file=file)


@shared_task(bind=True, base=Kept, autoretry_for=(OSError,), max_retries=2, default_retry_delay=0)
def charge(self, amount: int) -> str:
    note("charge", self.request.id, self.request.retries)
    if amount > 100 or not self.request.retries:
        raise OSError("declined" if amount > 100 else "busy")
    return f"paid {amount}"


@shared_task
def refund(paid: str | None, amount: int) -> None:
    note("refund", amount)


@shared_task(bind=True, base=Kept)
def ship(self, amount: int) -> str:
    if amount < 0:
        raise ValueError("nothing to ship")
    return "shipped"


named = {"name": "charge"} if os.environ.get("AS_BEFORE") else {}
charge_step = saga.step(charge, compensation=refund, **named)
ship_step = saga.step(ship, irreversible=True)


@saga.saga
async def buy(amount: int) -> str:
    paid = await charge_step(amount)
    return f"{paid}, {await ship_step(amount)}"


@saga.saga
async def wait(amount: int) -> str:
    paid = await charge_step(amount)
    await saga.signal("go on")
    return paid
"""


class Project:
    """A folder with it."""

    def __init__(self, folder: Path, database_url: str, broker_url: str) -> None:
        self.folder = folder
        (folder / "bookshop.py").write_text(APP)
        (folder / "bookshop_tasks.py").write_text(TASKS)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SAGA_")},
            "BROKER": broker_url,
            "DATABASE": database_url,
            "SAGA_DATABASE_URL": database_url,
            "NOTES": str(folder / "notes"),
            "SAGA_HEALTH_DIR": str(folder / "health"),
            "PYTHONPATH": str(ROOT),
        }

    def notes(self) -> list[list[object]]:
        path = self.folder / "notes"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @contextmanager
    def running(self, *command: str, **environment: str) -> Generator[Path]:
        """A worker; its log, once it is ready."""
        log = self.folder / f"{len(list(self.folder.iterdir()))}.log"
        with log.open("wb") as out:
            worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *command],
                cwd=self.folder,
                env=self.environment | environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            until(lambda: "serves the queues" in log.read_text(), "ready", describe=log.read_text)
            yield log
            worker.terminate()
            assert worker.wait(timeout=60) == 0
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


@pytest.fixture
def project(tmp_path: Path, database_url: str, broker_url: str) -> Project:
    return Project(tmp_path, database_url, broker_url)


@pytest.fixture
def client(database_url: str, broker_url: str) -> Generator[Client]:
    made = Client(database_url, broker_url)
    yield made
    made.close()


CELERY = ("celery", "-A", "bookshop", "worker", "-P", "threads", "-c", "2")
SAGA = ("saga.operations.cli", "--app", "bookshop", "worker")


@pytest.mark.slow
def test_celery_s_own_workers(project: Project, client: Client) -> None:
    with project.running(*CELERY) as log:
        text = until(
            lambda: log.read_text() if "no live worker serves" in log.read_text() else "",
            "it warns",
            describe=log.read_text,
        )
        assert "serves the queues: celery, sagas" in text
        assert "sagas: buy (version 1), wait (version 1)" in text
        assert "steps: bookshop_tasks.charge, bookshop_tasks.ship" in text
        assert "no live worker serves the queue 'payments' of bookshop_tasks.charge" in text
        handle = client.start("buy", amount=7, key="seven")
        with project.running(*CELERY, "-Q", "payments", "-n", "payments@%h") as other:
            assert handle.result(60) == "paid 7, shipped"
            assert "no live worker serves" not in other.read_text()
            failing = client.start("buy", amount=700)
            with pytest.raises(SagaFailed) as caught:
                failing.result(60)
            doomed = client.start("buy", amount=-1)
            with pytest.raises(SagaFailed):
                doomed.result(60)
    key = f"{handle.id}:1"
    assert project.notes()[:3] == [
        ["charge", key, 0],
        ["on_retry", key, [7]],
        ["charge", key, 1],
    ]
    assert caught.value.status == "failed"
    of_failing = [note for note in project.notes() if f"{failing.id}:1" in note]
    assert [note[2] for note in of_failing if note[0] == "charge"] == [0, 1, 2]
    assert ["on_failure", "OSError"] in project.notes()
    assert project.notes()[-2:] == [["on_failure", "ValueError"], ["refund", -1]]


@pytest.mark.slow
def test_saga_s_worker_and_sagas_that_0_1_0_began(project: Project, client: Client) -> None:
    with project.running(*SAGA, AS_BEFORE="1") as log:
        assert "serves the queues: celery, payments, sagas" in log.read_text()
        handle = client.start("wait", amount=7)
        until(lambda: len(project.notes()) == 3, "it is paid", describe=log.read_text)
    with project.running(*SAGA) as log:
        assert "bookshop_tasks.charge" in log.read_text()
        client.signal(handle.id, "go on")
        assert handle.result(60) == "paid 7"
    assert len(project.notes()) == 3
