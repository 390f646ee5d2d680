"""What one worker has done since it started, all processes of its pool included."""

import os
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from saga.engine.attempt.work import Ended, Outcome, Work
from saga.engine.sweep.counters import COUNTERS
from saga.engine.worker.watchers import Watcher
from saga.execution.refusals import on_refused

_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0, 300.0, 3600.0, 86_400.0)  # seconds


class StepMetrics(Watcher):
    """Counts attempts and ends."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._attempts = Counter(
            "saga_step_attempts",
            "Attempts by how they ended: retrying and unknown ones are tried again.",
            ["step", "undo", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "saga_step_seconds",
            "How long attempts took.",
            ["step", "undo"],
            buckets=_BUCKETS[:-1],
            registry=registry,
        )
        self._ended = Counter(
            "saga_ended", "Sagas that ended here, by how.", ["saga", "status"], registry=registry
        )
        self._durations = Histogram(
            "saga_seconds",
            "From the start of sagas to their end.",
            ["saga"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._lost = Counter(
            "saga_leases_lost", "How often a process was taken for dead.", registry=registry
        )

        self._refused = Counter(
            "saga_messages_refused",
            "What stood in the broker and could not be carried out: no message at all (garbage), "
            "of no known task (task), or with what cannot be (content).",
            ["kind"],
            registry=registry,
        )
        on_refused.append(lambda kind: self._refused.labels(kind).inc())

    def ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        """Also counts what another worker may have to try again."""
        undo = str(work.key.undo).lower()
        self._attempts.labels(work.intent.name, undo, outcome.state).inc()
        self._seconds.labels(work.intent.name, undo).observe(seconds)

    def saga_ended(self, saga: Ended) -> None:
        """An end after a retry, or an undo by hand, counts again."""
        self._ended.labels(saga.name, saga.status).inc()
        self._durations.labels(saga.name).observe(saga.seconds)

    def lease_lost(self) -> None:
        self._lost.inc()


class SweeperCollector(Collector):
    """The sweeper's counters; it is in the worker's main process, if in any."""

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client wants it."""
        yield CounterMetricFamily(
            "saga_lease_takeovers", "Steps taken from dead workers.", COUNTERS.takeovers
        )
        yield CounterMetricFamily(
            "saga_lease_timeouts", "Steps whose time was up.", COUNTERS.timeouts
        )


def worker_registry() -> tuple[CollectorRegistry, StepMetrics]:
    """A registry with all of it, and the watcher that feeds it.

    With PROMETHEUS_MULTIPROC_DIR set when prometheus_client was imported, the watcher may count in
    children, and the registry adds up what all have counted, also those that are gone.
    """
    registry = CollectorRegistry()
    registry.register(SweeperCollector())
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)
        return registry, StepMetrics(None)
    return registry, StepMetrics(registry)
