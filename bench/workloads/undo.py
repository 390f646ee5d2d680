"""Compensation: the fifth step fails and the four before it are undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.engine import Engine
from bench.waiting import until
from bench.workloads.workload import END_TIMEOUT, Metric, Workload, cost

BODIES_EACH = 9


class Undo(Workload):
    """Bodies of a workflow: four steps, the failing one, four undos in reverse order."""

    name = "undo"
    workflow = "undo"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "rate": Metric("workflows/s", more_is_better=True, digits=0),
        "cpu": Metric("CPU ms a workflow"),
    }

    def measure(self, engine: Engine) -> dict[str, float]:
        count = self.sizes.undo
        with engine.metered() as meter:
            engine.submit(self.workflow, self.keys(count))
            until(lambda: engine.ended() >= count, f"{count} undone workflows", END_TIMEOUT, 0.05)
        return {
            "rate": count / meter.seconds,
            "cpu": 1000 * meter.cpu / count,
            **cost(meter, count * BODIES_EACH, engine.ended()),
        }
