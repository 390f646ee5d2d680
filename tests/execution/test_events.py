"""Events tell of each step; the app's other tasks send them only if the app asks for it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery

from saga import Client
from saga.core.intent import Intent
from saga.core.rows import StepKey
from saga.engine.attempt.work import COMMITTED, Work
from saga.execution.app import make_app
from saga.execution.task_events import TaskEvents
from tests.execution.test_install import PROJECT
from tests.live.processes import PATIENCE, ROOT, announced, until

SAGA = ("saga.operations.cli", "--app", "shopproject", "worker", "-c", "2")
CELERY = ("celery", "-A", "shopproject", "worker", "-P", "threads", "-c", "2", "-l", "WARNING")
QUEUES = ("-Q", "celery,default,sagas")
ASKED = "\napp.conf.worker_send_task_events = True\n"
STEPS, TASKS = {"shopproject.charge", "ship"}, {"shopproject.greet"}


@contextmanager
def hearing(app: Any) -> Generator[list[dict[str, Any]]]:
    """All events; inside the block they are heard already."""
    heard: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": heard.append})
        thread = threading.Thread(target=receiver.capture, kwargs={"wakeup": False}, daemon=True)
        thread.start()
        until(lambda: is_heard(app, heard, "mark-first"), "events are heard")
        yield heard
        receiver.should_stop = True
        thread.join(PATIENCE)


def is_heard(app: Any, heard: list[dict[str, Any]], mark: str) -> bool:
    """Whether an event of ours came, of which one more is sent here."""
    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send(mark)
    return any(event["type"] == mark for event in list(heard))


@contextmanager
def working(folder: Path, command: tuple[str, ...], environment: dict[str, str]) -> Generator[None]:
    """A worker, which has ended behind the block."""
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", *command],
            cwd=folder,
            env={**os.environ, **environment, "PYTHONPATH": f"{ROOT}:{folder}"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "asked", "names"),
    [
        ((*SAGA, *QUEUES), "", STEPS),
        ((*SAGA, *QUEUES), ASKED, STEPS | TASKS),
        ((*SAGA, *QUEUES, "--no-events"), "", set[str]()),
        ((*CELERY, *QUEUES), "", set[str]()),
        ((*CELERY, *QUEUES, "-E"), "", STEPS | TASKS),
    ],
    ids=["saga", "saga-asked", "saga-off", "celery", "celery-asked"],
)
def test_what_events_tell_of(
    command: tuple[str, ...],
    asked: str,
    names: set[str],
    tmp_path: Path,
    database_url: str,
    broker_url: str,
) -> None:
    (tmp_path / "shopproject.py").write_text(PROJECT + asked)
    (tmp_path / "notes").touch()
    environment = {
        "BROKER": broker_url,
        "DATABASE": database_url,
        "SAGA_DATABASE_URL": database_url,
        "SAGA_BROKER_URL": broker_url,
        "NOTES": str(tmp_path / "notes"),
    }
    app: Any = Celery(broker=broker_url, set_as_current=False)
    with hearing(app) as heard:
        with working(tmp_path, command, environment):
            until(lambda: announced(database_url, "saga.definition"), "the worker is there")
            app.send_task("shopproject.greet", ["ada"])
            until(lambda: "ada" in (tmp_path / "notes").read_text(), "the task has run")
            client = Client(database_url, broker_url)
            assert client.start("buy", amount=7).result(PATIENCE) == "payment of 7, shipped"
            client.close()
        until(lambda: is_heard(app, heard, "mark-last"), "all events are heard")
    told = [event for event in heard if event["type"] == "task-received"]
    assert {event["name"] for event in told} == names
    is_seen = any(event["type"] == "worker-online" for event in heard)
    assert is_seen == ("--no-events" not in command), "Flower knows of the worker"
    assert len([event for event in told if event["name"] == "ship"]) <= 1, "once a step"


def test_nothing_is_told_while_nobody_listens(broker_url: str) -> None:
    """Who begins to listen hears both ends of an attempt that was begun before."""
    app: Any = make_app("postgresql://unused", broker_url)
    events = TaskEvents(app, "here")
    steps = count(1)

    def attempt() -> Work:
        key = StepKey(uuid4(), next(steps), undo=False)
        return Work(key, "order", Intent("step", "charge"), attempt=1, fence=0)

    def run(work: Work) -> None:
        events.started(work, 0.0)
        events.ended(work, COMMITTED, 0.0)

    def is_quiet() -> bool:
        run(attempt())
        return not events._waiting

    until(is_quiet, "nobody has heard the first")
    long = attempt()
    events.started(long, 0.0)
    assert not events._waiting
    with hearing(app) as heard:

        def names() -> list[str]:
            run(attempt())
            return [event["name"] for event in list(heard) if event["type"] == "task-received"]

        until(names, "somebody hears")
        heard.clear()
        events.ended(long, COMMITTED, 3.0)
        until(lambda: "task-succeeded" in _told_of(long, heard), "its end is heard")
        assert _told_of(long, heard) == ["task-received", "task-started", "task-succeeded"]
    events.stopped()


def _told_of(work: Work, heard: list[dict[str, Any]]) -> list[str]:
    key = f"{work.idempotency_key}:{work.attempt}"
    return [event["type"] for event in list(heard) if event.get("uuid") == key]
