"""Latency: one workflow at a time, from start to the end of its fifth step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import ClassVar

from bench.engine import STEPS, Engine
from bench.workloads.workload import CPU_A_STEP, Metric, Workload, cost


class Latency(Workload):
    """The client waits for each workflow before it starts the next."""

    name = "latency"
    workflow = "steps"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "p50": Metric("p50 ms"),
        "p95": Metric("p95 ms"),
        "cpu": CPU_A_STEP,
    }

    def measure(self, engine: Engine) -> dict[str, float]:
        with engine.metered() as meter:
            times = [self._once(engine, key) for key in self.keys(self.sizes.latency)]
        return {
            "p50": 1000 * median(times),
            "p95": 1000 * quantiles(times, n=20)[-1],
            "cpu": 1000 * meter.cpu / (len(times) * STEPS),
            **cost(meter, len(times) * STEPS, len(times)),
        }

    def _once(self, engine: Engine, key: str) -> float:
        start = time.perf_counter()
        engine.run(self.workflow, key)
        return time.perf_counter() - start
