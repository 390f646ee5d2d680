"""A worker that lives but no longer works ends itself, and its supervisor starts another."""

import subprocess
import sys

import pytest

from saga.engine.worker.watchdog import EXIT_CODE
from tests.faults.arena import Arena
from tests.faults.workers import ROOT, Worker

SICK = "tests.faults.sick"
PATIENCE = 2.0
EXIT_LINE = "the watchdog ends worker process"


@pytest.fixture(autouse=True)
def health_folder(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGA_HEALTH_DIR", str(arena.folder / "health"))


def sick_worker(arena: Arena) -> Worker:
    return arena.worker(modules=(SICK,), watchdog=PATIENCE)


def next_worker(arena: Arena) -> Worker:
    """What a supervisor starts. Messages wait for it: it needs the patience to get to them."""
    return arena.worker(modules=(SICK,))


def health(*options: str) -> subprocess.CompletedProcess[str]:
    """`saga health`, as a liveness probe runs it."""
    command = [sys.executable, "-m", "saga.operations.cli", "health", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("way", "complaint"),
    [
        ("loop", "its event loop stands still"),
        ("consumer", "messages wait and none is taken"),
        ("lease", "renews its lease has ended"),
        ("conductor", "no outcome is recorded and no step claimed"),
    ],
)
def test_it_ends_itself_and_the_next_worker_goes_on(arena: Arena, way: str, complaint: str) -> None:
    worker = sick_worker(arena)
    arena.ready()
    first = arena.client.start("illness", way=way, key="illness")
    arena.until((arena.folder / "points" / "sick").exists, "it falls ill")
    others = 3 if way in {"consumer", "conductor"} else 0
    more = [arena.client.start("illness", way=way, key=f"more {n}") for n in range(others)]
    arena.until(lambda: worker.is_dead, "the worker ends itself")
    assert worker.process.returncode == EXIT_CODE
    assert complaint in worker.log.read_text()
    next_worker(arena)
    arena.until_over(first.id, *(handle.id for handle in more))


def test_a_child_of_a_prefork_pool_is_replaced(arena: Arena) -> None:
    worker = arena.worker(modules=(SICK,), watchdog=PATIENCE, pool="prefork", concurrency=1)
    announced = "SELECT 1 FROM saga.definition WHERE name = 'illness'"
    arena.until(lambda: arena.records.query(announced), "the worker is ready")
    first = arena.client.start("illness", way="conductor", key="illness")
    arena.until(lambda: EXIT_LINE in worker.log.read_text(), "a child ends itself")
    arena.until_over(first.id)
    assert not worker.is_dead


def test_a_step_that_blocks_the_event_loop(arena: Arena) -> None:
    worker = sick_worker(arena)
    arena.ready()
    saga = arena.client.start("blockade", seconds=1000.0, key="blockade")
    arena.until(lambda: worker.is_dead, "the worker ends itself")
    assert "blocks the event loop" in worker.log.read_text()
    next_worker(arena)
    arena.until_over(saga.id)


def test_the_probe_sees_a_stopped_worker(arena: Arena) -> None:
    assert health().returncode == 1
    worker = arena.worker(modules=(SICK,))  # one that stands still is not to be ended before
    arena.ready()
    arena.until(lambda: health("--within", "5").returncode == 0, "the worker is well")
    worker.stop()
    arena.until(lambda: health("--within", "1").returncode == 1, "the probe has seen it")
    assert "no sign of life" in health("--within", "1").stderr
    worker.wake()
    arena.until(lambda: health("--within", "5").returncode == 0, "the worker is well again")
    worker.kill()
    assert "no worker" in health().stderr


def test_an_interpreter_that_hangs_before_the_first_round() -> None:
    code = """
import re
from saga.engine.worker.watchdog import Watchdog
Watchdog([], 0.5, is_last_resort=True).start()
re.match(r"(a+)+$", "a" * 60 + "b")
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (")
