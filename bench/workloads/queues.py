"""Throughput where every step changes queue and process."""

from __future__ import annotations

from bench.layout import ALTERNATING
from bench.workloads.steps import Steps


class Queues(Steps):
    """As `steps`, each step on a queue that the other worker process serves."""

    name = "queues"
    workflow = "hops"
    layout = ALTERNATING
