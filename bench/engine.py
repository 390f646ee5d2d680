"""What the harness asks of an engine that it measures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from bench.layout import Layout
from bench.meter import Meter
from bench.stage import Stage
from bench.worker import Worker

STEPS = 5


class Engine(ABC):
    """One contender. Between `open` and `close` its workers run and are warm.

    The workflows are named `steps` (five no-op steps on one queue), `hops` (each step on
    another queue), `undo` (the fifth step fails, the four before it are undone), `long`,
    `fanout`, `parked` and `slow` (five steps of 50 ms). Every workflow takes a key.
    """

    name: str
    workflows: frozenset[str]

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.workers: list[Worker] = []

    @abstractmethod
    def open(self, layout: Layout, workflow: str, warm: int) -> None:
        """Start from nothing: empty stores, fresh workers; run `warm` workflows of the kind."""

    @abstractmethod
    def submit(self, workflow: str, keys: Sequence[str], size: int = STEPS) -> None:
        """Start one workflow a key, with `size` steps, as fast as this engine's client can."""

    @abstractmethod
    def ended(self) -> int:
        """How many workflows have come to their end since `open`, asked cheaply."""

    @abstractmethod
    def run(self, workflow: str, key: str, size: int = STEPS) -> None:
        """Start one workflow and return when it has ended."""

    def waiting(self) -> int:
        """How many workflows are parked on an approval."""
        raise NotImplementedError

    def approve(self, keys: Sequence[str]) -> None:
        """Approve what these workflows are parked on."""
        raise NotImplementedError

    def settle(self) -> None:
        """Have the stores do now what the load before has left them to do (vacuum, checkpoint)."""
        raise NotImplementedError

    @contextmanager
    def metered(self) -> Generator[Meter]:
        """Measure what the block costs, over all processes that take part."""
        with self.stage.metered([worker.pid for worker in self.workers]) as meter:
            yield meter

    def close(self) -> None:
        """End the workers."""
        for worker in self.workers:
            worker.kill()
        self.workers.clear()
