"""The short way of a wake-up: Celery's tools still see it, and left where more is asked for."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# Celery has no types.

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from saga import Client
from saga.core.rows import StepKey
from saga.wakeups.message import ADVANCE, WakeUp, encode
from tests.faults.waiting import until

MODULE = """
import os
import time
from pathlib import Path

import saga
from celery import signals

HERE = Path(os.environ["HERE"])


@saga.step(queue="work")
def hold(name: str) -> str:
    while not (HERE / name).exists():
        time.sleep(0.01)
    return name


@saga.saga
async def held(name: str) -> str:
    return await hold(name)


if os.environ.get("LISTENS"):

    @signals.task_prerun.connect(weak=False)
    def note(task, **_):
        with (HERE / "seen").open("a") as file:
            print(task.name, file=file)
"""


@contextmanager
def _worker(
    folder: Path, database_url: str, broker_url: str, queues: str, **environment: str
) -> Generator[Path]:
    log = folder / f"{queues}.log"
    options = ["--queues", queues, "--concurrency", "2", "--loglevel", "INFO"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "saga.operations.cli", "--app", "holding", "worker", *options],
            cwd=folder,
            env={
                **os.environ,
                **environment,
                "HERE": str(folder),
                "SAGA_DATABASE_URL": database_url,
                "SAGA_BROKER_URL": broker_url,
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
        try:
            until(lambda: b"ready" in log.read_bytes(), "the worker is ready")
            yield log
            process.terminate()
            assert process.wait(timeout=60) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "holding.py").write_text(MODULE)
    return tmp_path


def _send(broker_url: str, queue: str, message: dict[str, Any]) -> None:
    with redis.Redis.from_url(broker_url) as broker:
        broker.lpush(queue, json.dumps(message))


@pytest.mark.slow
def test_inspect_shows_it_and_counts_it(folder: Path, database_url: str, broker_url: str) -> None:
    inspect = Celery(broker=broker_url, set_as_current=False).control.inspect()

    def active() -> list[dict[str, Any]] | None:
        """None if nobody has answered in time."""
        answers = inspect.active()
        return answers and [task for tasks in answers.values() for task in tasks]

    with (
        Client(database_url, broker_url) as client,
        _worker(folder, database_url, broker_url, "sagas,work"),
    ):
        handle = client.start("held", name="one")
        tasks = until(active, "it is at it") or []
        wanted = ADVANCE, f"saga={handle.id} position=0"
        assert {(task["name"], task["args"]) for task in tasks} == {wanted}
        (folder / "one").touch()
        assert handle.result(30) == "one"
        until(lambda: active() == [], "its slot is free")
        (stats,) = (until(inspect.stats, "it tells what it has done") or {}).values()
        assert stats["total"][ADVANCE] >= 1


@pytest.mark.slow
def test_who_listens_to_signals_of_tasks_hears_them(
    folder: Path, database_url: str, broker_url: str
) -> None:
    (folder / "one").touch()
    with (
        Client(database_url, broker_url) as client,
        _worker(folder, database_url, broker_url, "sagas,work", LISTENS="yes"),
    ):
        assert client.start("held", name="one").result(30) == "one"
    assert ADVANCE in (folder / "seen").read_text().splitlines()


@pytest.mark.slow
def test_messages_that_ask_for_more_or_make_no_sense(
    folder: Path, database_url: str, broker_url: str
) -> None:
    """More bad ones than there are slots, each of which must be free again."""
    (folder / "one").touch()
    with (
        Client(database_url, broker_url) as client,
        _worker(folder, database_url, broker_url, "work") as log,
    ):
        for body in ("[[1, 2, 3], {}, {}]", "[[], {}, {}]", '{"a": 1}', "7", "", "nonsense"):
            message = json.loads(encode(WakeUp("work", "hold", uuid4(), 1)))
            _send(broker_url, "work", {**message, "body": body})
        handle = client.start("held", name="one")
        with _worker(folder, database_url, broker_url, "sagas"):
            until(lambda: handle.status() == "running", "it has begun")
            key = StepKey(handle.id, 1, False)
            Celery(broker=broker_url, set_as_current=False).send_task(
                "hold", [str(key.saga_id), key.position, key.undo], queue="work", countdown=0.5
            )
            assert handle.result(30) == "one"
        assert b"is refused: its arguments name no step" in log.read_bytes()
