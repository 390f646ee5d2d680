"""The processes of a pool leave when their worker does, and it hears the last of them."""

import sys
from pathlib import Path
from subprocess import run

from tests.live.processes import PATIENCE, ROOT

ONE_TASK = """
import sys
from pathlib import Path

import billiard.pool
from celery import Celery
from celery.concurrency.prefork import TaskPool
from kombu.asynchronous import Hub, set_event_loop

from saga.execution.pool_children import read_to_the_end

billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10**9  # instead of 300: for ever
begun = Path(sys.argv[1])
set_event_loop(hub := Hub())
app = Celery(set_as_current=False)
pool = TaskPool(1, app=app, threads=False, initargs=(app, "test"))
pool.start()
pool.register_with_event_loop(hub)
loop = hub.create_loop()


def turn(until):
    while not until():
        hub.call_later(0.01, lambda: None)  # else it waits for what may not come
        next(loop)


turn(lambda: pool._pool._all_inqueues)  # the process is up
for read in [*pool._pool._fileno_to_outq]:
    hub.remove_reader(read)  # so it hears neither that the task began nor that it ended
pool.apply_async(begun.touch)
turn(begun.exists)
pool.flush()
if sys.argv[2] == "to the end":
    read_to_the_end(pool)
pool.stop()
"""


def test_a_process_that_was_not_heard_of_is_not_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", ONE_TASK, str(tmp_path / "begun")]
    ended = run([*command, "to the end"], cwd=ROOT, timeout=PATIENCE, check=False)
    assert ended.returncode == 0
