"""Throughput: many workflows of five no-op steps on one queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.engine import STEPS, Engine
from bench.waiting import until
from bench.workloads.workload import CPU_A_STEP, END_TIMEOUT, STEPS_A_SECOND, Metric, Workload, cost


class Steps(Workload):
    """All are started at once; the clock stops when the last one has ended."""

    name = "steps"
    workflow = "steps"
    metrics: ClassVar[Mapping[str, Metric]] = {"rate": STEPS_A_SECOND, "cpu": CPU_A_STEP}

    def measure(self, engine: Engine) -> dict[str, float]:
        count = self.sizes.sagas
        with engine.metered() as meter:
            engine.submit(self.workflow, self.keys(count))
            until(lambda: engine.ended() >= count, f"{count} workflows", END_TIMEOUT, 0.05)
        steps = count * STEPS
        return {
            "rate": steps / meter.seconds,
            "cpu": 1000 * meter.cpu / steps,
            **cost(meter, steps, engine.ended()),
        }
