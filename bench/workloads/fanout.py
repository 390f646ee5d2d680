"""Width: parallel steps and a join."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median
from typing import ClassVar

from bench.engine import Engine
from bench.workloads.workload import CPU_A_STEP, Metric, Workload, cost

ROUNDS = 5


class Fanout(Workload):
    """One workflow at a time; the median of a few, since one is short."""

    name = "fanout"
    workflow = "fanout"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "seconds": Metric("seconds", digits=3),
        "cpu": CPU_A_STEP,
    }

    def measure(self, engine: Engine) -> dict[str, float]:
        width = self.sizes.fanout
        with engine.metered() as meter:
            times = [self._once(engine, key) for key in self.keys(ROUNDS)]
        bodies = ROUNDS * (width + 1)
        return {
            "seconds": median(times),
            "cpu": 1000 * meter.cpu / bodies,
            **cost(meter, bodies, len(times)),
        }

    def _once(self, engine: Engine, key: str) -> float:
        start = time.perf_counter()
        engine.run(self.workflow, key, self.sizes.fanout)
        return time.perf_counter() - start
