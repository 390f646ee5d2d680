"""One worker after another in the same process, as reloaders and tests run them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from saga import Client
from tests.live.processes import PATIENCE, ROOT, until

SCRIPT = """
import sys
from pathlib import Path

from celery import signals
from celery.worker import state

import saga
from saga.execution.app import make_app


@saga.step
def pack(item: int) -> int:
    return item


@saga.saga
async def buy(item: int) -> int:
    return await pack(item)


folder = Path(sys.argv[1])
app = make_app(sys.argv[2], sys.argv[3])
kept = []
for number in range(2):
    signals.worker_ready.connect(lambda n=number, **_: (folder / f"ready {n}").touch(), weak=False)
    kept.append(app.Worker(pool=sys.argv[4], concurrency=1, queues=["default", "sagas"]))
    kept[-1].start()
    state.should_stop = None
    (folder / f"stopped {number}").touch()
"""


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_the_second_worker_takes_up_steps(
    tmp_path: Path, database_url: str, broker_url: str, pool: str
) -> None:
    log = tmp_path / "log"
    arguments = [str(tmp_path), database_url, broker_url, pool]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        with Client(database_url, broker_url) as client:
            for number in range(2):
                until(_exists(tmp_path / f"ready {number}"), "it is ready", describe=log.read_text)
                assert client.start("buy", item=number).result(PATIENCE) == number
                process.terminate()
                until(_exists(tmp_path / f"stopped {number}"), "it stops", describe=log.read_text)
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _exists(path: Path) -> Callable[[], bool]:
    return path.exists
