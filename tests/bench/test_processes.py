"""The numbers stand on these: CPU and memory of trees of processes."""

import os
import subprocess
import sys
import time

from bench import processes
from bench.meter import metered

_BURN = "import time; [None for _ in iter(lambda: time.process_time() < {seconds}, False)]"


def _burn(seconds: float) -> list[str]:
    return [sys.executable, "-c", _BURN.format(seconds=seconds)]


def _nested(seconds: float) -> list[str]:
    """A process whose child burns and has exited before it exits itself."""
    return [sys.executable, "-c", f"import subprocess; subprocess.run({_burn(seconds)!r})"]


def test_children_that_have_exited_are_counted() -> None:
    with metered({os.getpid(): "us"}) as meter:
        subprocess.run(_nested(0.2), check=True)
    assert meter.shares["us"] >= 0.15
    assert meter.cpu == meter.shares["us"]


def test_a_tree_ends_where_another_role_begins() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        before = processes.cpu_by_role({os.getpid(): "us", child.pid: "child"})
        deadline = time.process_time() + 0.1
        while time.process_time() < deadline:
            pass
        after = processes.cpu_by_role({os.getpid(): "us", child.pid: "child"})
        child.communicate(b"\n")
    assert after["us"] - before["us"] >= 0.09


def test_memory_of_a_tree_includes_its_children() -> None:
    alone = processes.resident_bytes([os.getpid()])
    with subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(30_000_000); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.resident_bytes([child.pid]) > 30_000_000
        assert processes.resident_bytes([os.getpid()]) > alone + 20_000_000
        child.communicate(b"\n")
