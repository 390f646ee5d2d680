"""Patience: many workflows parked on an approval, then all of them woken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import ClassVar

from bench import processes
from bench.engine import Engine
from bench.waiting import until
from bench.workloads.workload import END_TIMEOUT, Metric, Workload, cost

SETTLE = 3


class Parked(Workload):
    """Celery has no way to wait without holding a slot, so the chain has no part in this."""

    name = "parked"
    workflow = "parked"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "share": Metric("% of a core while parked"),
        "memory": Metric("worker KiB a saga"),
        "start": Metric("parked/s", more_is_better=True, digits=0),
        "wake": Metric("woken/s", more_is_better=True, digits=0),
        "cpu": Metric("CPU ms a wake"),
    }

    def measure(self, engine: Engine) -> dict[str, float]:
        keys = self.keys(self.sizes.parked)
        before = self._memory(engine)
        start = time.monotonic()
        engine.submit(self.workflow, keys)
        until(lambda: engine.waiting() >= len(keys), "all to be parked", END_TIMEOUT, 0.1)
        parking = time.monotonic() - start
        # What the start left behind is not the cost of waiting, whenever it would come.
        engine.settle()
        time.sleep(SETTLE)
        with engine.metered() as idle:
            time.sleep(self.sizes.parked_seconds)
        memory = (self._memory(engine) - before) / len(keys)
        with engine.metered() as woken:
            engine.approve(keys)
            until(lambda: engine.ended() >= len(keys), "all to be woken", END_TIMEOUT, 0.1)
        return {
            "share": 100 * idle.cpu / idle.seconds,
            "memory": max(0.0, memory) / 1024,
            "start": len(keys) / parking,
            "wake": len(keys) / woken.seconds,
            "cpu": 1000 * woken.cpu / len(keys),
            **cost(woken, len(keys), engine.ended()),
            **{f"idle_{role}": 100 * cpu / idle.seconds for role, cpu in idle.shares.items()},
        }

    def _memory(self, engine: Engine) -> int:
        return processes.resident_bytes([worker.pid for worker in engine.workers])
