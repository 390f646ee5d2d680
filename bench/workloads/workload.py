"""What every workload is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bench.engine import Engine
from bench.layout import TWO_ALIKE, Layout
from bench.meter import Meter
from bench.sizes import Sizes

END_TIMEOUT = 600


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table: what it is called, whether more is better, how it is written."""

    title: str
    more_is_better: bool = False
    digits: int = 2


STEPS_A_SECOND = Metric("steps/s", more_is_better=True, digits=0)
CPU_A_STEP = Metric("CPU ms a step")
NOISE = "noise"
BODIES = "bodies"
ENDED = "ended"


class Workload(ABC):
    """A named piece of work that yields one number for each of its metrics."""

    name: str
    workflow: str
    metrics: ClassVar[Mapping[str, Metric]]
    layout: Layout = TWO_ALIKE

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes

    @abstractmethod
    def measure(self, engine: Engine) -> dict[str, float]:
        """Do it once on an opened engine. Beside those of `metrics` there are `cost`'s keys."""

    def keys(self, count: int, prefix: str = "saga") -> list[str]:
        """Names for `count` workflows."""
        return [f"{prefix}{number}" for number in range(count)]


def cost(meter: Meter, bodies: int, ended: int) -> dict[str, float]:
    """What is told of every stretch: by role, the CPU; how many bodies ran; workflows ended."""
    shares = {f"cpu_{role}": 1000 * cpu / bodies for role, cpu in meter.shares.items()}
    return {**shares, NOISE: meter.noise, BODIES: bodies, ENDED: ended}
