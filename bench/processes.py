"""CPU time and memory of whole process trees, read from Linux's /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/<pid>/stat, times in seconds."""

    pid: int
    parent: int
    own: float
    reaped: float

    @property
    def cpu(self) -> float:
        """Own time and that of the children which have exited and were waited for."""
        return self.own + self.reaped


def snapshot() -> dict[int, Process]:
    """Every process of the machine, by pid."""
    found = (_read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {process.pid: process for process in found if process is not None}


def cpu_by_role(roles: Mapping[int, str]) -> dict[str, float]:
    """CPU seconds so far of the trees that start at the given pids, children that exited included.

    A tree ends where that of another role begins; trees of the same role are added up.
    """
    processes = snapshot()
    total = dict.fromkeys(roles.values(), 0.0)
    for process in processes.values():
        role = _role(process, processes, roles)
        if role is not None:
            total[role] += process.cpu
    return total


def machine_busy_seconds() -> float:
    """CPU that all processes of the machine have used since boot, stolen time included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) * _TICK


def resident_bytes(roots: Iterable[int]) -> int:
    """Resident memory of the trees under `roots`."""
    processes = snapshot()
    roles = dict.fromkeys(roots, "root")
    members = (process for process in processes.values() if _role(process, processes, roles))
    return sum(_resident(process.pid) for process in members)


def _role(
    process: Process, processes: Mapping[int, Process], roles: Mapping[int, str]
) -> str | None:
    at: Process | None = process
    while at is not None:
        if at.pid in roles:
            return roles[at.pid]
        at = processes.get(at.parent)
    return None


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _read(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command may hold spaces and parentheses; the numbers start behind the last one.
    fields = text.rpartition(")")[2].split()
    ticks = (int(fields[11]) + int(fields[12])) * _TICK
    reaped = (int(fields[13]) + int(fields[14])) * _TICK
    return Process(pid, int(fields[1]), _precise(pid, ticks), reaped)


def _precise(pid: int, ticks: float) -> float:
    # A process' CPU clock counts nanoseconds where /proc counts hundredths of a second,
    # which matters when a worker should be idle.
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return ticks
