"""The numbers stand on these: CPU and memory of trees of processes."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from bench import processes
from bench.meter import metered

_BURN = "import time; [None for _ in iter(lambda: time.process_time() < {seconds}, False)]"
_WORK = """
import time
input()
until = time.process_time() + 0.2
while time.process_time() < until:
    pass
memory = bytearray(30_000_000)
print(flush=True)
input()
"""
_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


def _burn(seconds: float) -> list[str]:
    return [sys.executable, "-c", _BURN.format(seconds=seconds)]


def _nested(seconds: float) -> list[str]:
    """A process whose child burns and has exited before it exits itself."""
    return [sys.executable, "-c", f"import subprocess; subprocess.run({_burn(seconds)!r})"]


class _Pair:
    """A parent that waits and its child, which works when it is told to. Nothing else is below
    them, as servers of other tests are below this process.
    """

    def __init__(self, parent: subprocess.Popen[str]) -> None:
        self.parent = parent.pid
        self._process = parent
        self.child = int(self._heard())

    def work(self) -> None:
        """Until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._heard()

    def _heard(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def _pair() -> Generator[_Pair]:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, _WORK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        yield _Pair(parent)
        parent.communicate("\n")


def test_children_that_have_exited_are_counted() -> None:
    with metered({os.getpid(): "us"}) as meter:
        subprocess.run(_nested(0.2), check=True)
    assert meter.shares["us"] >= 0.15
    assert meter.cpu == meter.shares["us"]


def test_a_tree_ends_where_another_role_begins() -> None:
    with _pair() as pair:
        roles = {pair.parent: "parent", pair.child: "child"}
        before = processes.cpu_by_role(roles)
        pair.work()
        after = processes.cpu_by_role(roles)
    assert after["child"] - before["child"] >= 0.19
    assert after["parent"] - before["parent"] < 0.1


def test_memory_of_a_tree_includes_its_children() -> None:
    with _pair() as pair:
        alone = processes.resident_bytes([pair.parent])
        pair.work()
        child = processes.resident_bytes([pair.child])
        both = processes.resident_bytes([pair.parent])
    assert both > child > 30_000_000
    assert both > alone + 20_000_000
