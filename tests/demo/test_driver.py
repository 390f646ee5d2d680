"""The whole demo: embedded servers, services, workers; killed, flushed, interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from saga.operations.demo.driver import run_demo
from saga.operations.demo.trouble import Mishap, Troublemaker
from tests.live.descendants import descendants, newcomers

PROGRAM = """
import sys
from pathlib import Path
from saga.operations.demo.driver import run_demo
sys.exit(run_demo(Path(sys.argv[1]), True, directory=Path(sys.argv[2])))
"""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never call the real model."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def messages(path: Path, count: int) -> Path:
    path.write_text("".join(json.dumps({"text": f"I lost card {n}"}) + "\n" for n in range(count)))
    return path


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_doubled(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_demo(messages(tmp_path / "in.jsonl", 40), directory=tmp_path / "run") == 0
    shown = capfd.readouterr()
    *table, last = shown.out.splitlines()
    result = json.loads(last)
    assert result | {"seconds": 0, "requests": 0, "repeated_requests": 0} == {
        "sagas": 40,
        "completed": 36,
        "compensated": 4,
        "lost": 0,
        "effects": 36 * 4 + 4 * 6,
        "duplicate_effects": 0,
        "worker_kills": 1,
        "redis_flushes": 1,
        "seconds": 0,
        "requests": 0,
        "repeated_requests": 0,
        "money_is_conserved": True,
    }
    assert any("compensated" in line for line in table)
    assert "a worker was killed with -9" in shown.err


def until_gone(pids: Iterable[int]) -> None:
    """They have ended by now; the system may still have to clear them away, or never does."""
    deadline = time.monotonic() + 60
    while left := [told for pid in pids if (told := what_runs(pid))]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def what_runs(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return "" if ended else f"{pid} {process.status()} {process.cmdline()}"
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_all_that_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    arguments = [str(messages(tmp_path / "in.jsonl", 2000)), str(tmp_path / "run")]
    before = descendants()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        started = wait_for_workers(demo.pid, 2)
        os.kill(demo.pid, number)
        out, err = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert out == b""
    assert b"everything that was started is stopped" in err
    assert len(started) >= 5
    until_gone(started)
    assert not newcomers(before)


def wait_for_workers(pid: int, count: int) -> set[int]:
    """All descendants of the demo, once it has that many workers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children(recursive=True)
        if sum(map(is_worker, children)) >= count:
            return {child.pid for child in children}
        time.sleep(0.05)
    raise AssertionError("the demo has started no workers")


def is_worker(process: psutil.Process) -> bool:
    try:
        return "saga.operations.cli worker" in " ".join(process.cmdline())
    except psutil.Error:
        return False  # it has ended since it was listed


def test_bad_input_is_refused_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,message\n1,Hello\n")
    assert run_demo(path) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == f"Error: {path}, line 1: no column is named 'text'; found id, message\n"


def test_mishaps_happen_once_in_order_and_one_at_a_time() -> None:
    happened: list[str] = []
    trouble = Troublemaker(
        [Mishap(share, what, lambda w=what: happened.append(w)) for share, what in PLAN]
    )
    assert trouble.look(0.1) is None
    assert [trouble.look(0.9), trouble.look(0.9), trouble.look(0.9)] == ["kill", "flush", None]
    assert happened == trouble.done == ["kill", "flush"]


PLAN = [(0.25, "kill"), (0.5, "flush")]
