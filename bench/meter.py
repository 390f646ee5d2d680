"""What a stretch of work cost: wall time, and CPU over every process that took part."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench import processes


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    cpu: dict[str, float]
    machine: float


class Meter:
    """The cost of the block that it was opened for. `roles` names trees by their first pid."""

    def __init__(self, roles: Mapping[int, str]) -> None:
        self._roles = roles
        self._start = self._read()
        self._stop: _Reading | None = None

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self._end.at - self._start.at

    @property
    def cpu(self) -> float:
        """CPU seconds of all roles together."""
        return sum(self.shares.values())

    @property
    def shares(self) -> dict[str, float]:
        """CPU seconds of each role."""
        return {role: cpu - self._start.cpu.get(role, 0) for role, cpu in self._end.cpu.items()}

    @property
    def noise(self) -> float:
        """Cores that strangers to the benchmark kept busy meanwhile."""
        return max(0.0, (self._end.machine - self._start.machine - self.cpu) / self.seconds)

    def stop(self) -> None:
        """End the stretch."""
        self._stop = self._read()

    @property
    def _end(self) -> _Reading:
        return self._stop or self._read()

    def _read(self) -> _Reading:
        cpu = processes.cpu_by_role(self._roles)
        return _Reading(time.monotonic(), cpu, processes.machine_busy_seconds())


@contextmanager
def metered(roles: Mapping[int, str]) -> Generator[Meter]:
    """Measure the block."""
    meter = Meter(roles)
    try:
        yield meter
    finally:
        meter.stop()
