"""Length: one workflow of very many sequential steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.engine import Engine
from bench.workloads.workload import CPU_A_STEP, Metric, Workload, cost


class Long(Workload):
    """Beside the whole, what the last tenth of the steps takes compared with the first."""

    name = "long"
    workflow = "long"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "seconds": Metric("seconds"),
        "growth": Metric("last tenth / first tenth"),
        "cpu": CPU_A_STEP,
    }

    def measure(self, engine: Engine) -> dict[str, float]:
        size = self.sizes.long
        with engine.metered() as meter:
            engine.run(self.workflow, "long", size)
        marks = [entry.at for entry in engine.stage.ledger.entries() if entry.key == "long"]
        tenth = size // 10
        return {
            "seconds": meter.seconds,
            "growth": (marks[-1] - marks[-tenth]) / (marks[tenth - 1] - marks[0]),
            "cpu": 1000 * meter.cpu / size,
            **cost(meter, size, len(marks)),
        }
