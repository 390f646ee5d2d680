"""A user's own Celery project: its app runs sagas, its tasks are steps, its other tasks go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery

from saga import Client, SagaFailed

PROJECT = """
import os
from pathlib import Path

from celery import Celery

import saga

app = Celery("shopproject", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
NOTES = Path(os.environ["NOTES"])


def note(text):
    with NOTES.open("a") as file:
        file.write(text + "\\n")


@app.task
def greet(name: str) -> None:
    note(f"hello {name}")


@app.task
def charge(amount: int) -> str:
    note(f"charge {amount} {saga.current().idempotency_key.count(':')}")
    return f"payment of {amount}"


@app.task
def refund(payment: str | None, amount: int) -> None:
    note(f"refund {amount}: {payment}")


@saga.step
async def ship(amount: int) -> str:
    if amount > 100:
        raise saga.Permanent("too heavy")
    return "shipped"


saga.install(app, os.environ["DATABASE"])
charge_step = saga.step(charge, compensation=refund)


@saga.saga
async def buy(amount: int) -> str:
    payment = await charge_step(amount)
    return f"{payment}, {await ship(amount)}"
"""


@contextmanager
def _celery(folder: Path, pool: str, environment: dict[str, str]) -> Generator[None]:
    """`celery worker`, as its users start it."""
    arguments = ["-A", "shopproject", "worker", "-P", pool, "-c", "2", "-Q", "celery,default,sagas"]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "celery", *arguments, "-l", "WARNING"],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
            worker.terminate()
            assert worker.wait(timeout=60) == 0
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "it did not come true in a minute"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_an_existing_project(pool: str, tmp_path: Path, database_url: str, broker_url: str) -> None:
    (tmp_path / "shopproject.py").write_text(PROJECT)
    notes = tmp_path / "notes"
    notes.touch()
    environment = {"BROKER": broker_url, "DATABASE": database_url, "NOTES": str(notes)}
    client = Client(database_url, broker_url)
    other = Celery(broker=broker_url, set_as_current=False)
    with _celery(tmp_path, pool, environment):
        other.send_task("shopproject.greet", ["ada"])
        _until(lambda: "hello ada" in notes.read_text())
        assert client.start("buy", amount=7).result(60) == "payment of 7, shipped"
        with pytest.raises(SagaFailed) as caught:
            client.start("buy", amount=700).result(60)
        other.send_task("shopproject.greet", ["grace"])
        _until(lambda: "hello grace" in notes.read_text())
    client.close()
    assert caught.value.status == "compensated"
    assert notes.read_text().splitlines() == [
        "hello ada",
        "charge 7 1",
        "charge 700 1",
        "refund 700: payment of 700",
        "hello grace",
    ]
