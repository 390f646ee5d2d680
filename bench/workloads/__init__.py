"""The workloads, in the order of the table."""

from __future__ import annotations

from bench.workloads.fanout import Fanout
from bench.workloads.kill import Kill
from bench.workloads.latency import Latency
from bench.workloads.long import Long
from bench.workloads.parked import Parked
from bench.workloads.queues import Queues
from bench.workloads.steps import Steps
from bench.workloads.undo import Undo
from bench.workloads.workload import Workload

WORKLOADS: dict[str, type[Workload]] = {
    workload.name: workload
    for workload in (Steps, Queues, Latency, Undo, Long, Fanout, Parked, Kill)
}
