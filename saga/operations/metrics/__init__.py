"""Prometheus metrics: of the whole system, from Postgres, and of one worker process."""

from saga.operations.metrics.system import SystemCollector
from saga.operations.metrics.worker import StepMetrics, SweeperCollector, worker_registry

__all__ = ["StepMetrics", "SweeperCollector", "SystemCollector", "worker_registry"]
