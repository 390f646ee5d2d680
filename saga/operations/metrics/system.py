"""What Postgres knows: backlogs, what is blocked, how far the sweeper lags."""

import threading
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from saga.errors import SagaError
from saga.storage.queries import Backlog, backlog, snapshot
from saga.storage.queries.gauges import Gauges, gauges

_FRESH = 1.0  # seconds for which an answer serves all that ask


class SystemCollector(Collector):
    """Asks Postgres once per scrape, and at most once a second. `saga_up` 0: it does not answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._found: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """As prometheus_client wants it."""
        with self._lock:
            if time.monotonic() - self._asked >= _FRESH:
                self._found, self._asked = list(self._ask()), time.monotonic()
            return list(self._found)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: a registry must not need the database."""
        return []

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def _ask(self) -> Iterator[Metric]:
        try:
            with snapshot(self._engine) as connection:
                queues, numbers = backlog(connection), gauges(connection)
        except SagaError:
            yield Gauge("saga_up", "Whether Postgres answers.", 0)
            return
        yield Gauge("saga_up", "Whether Postgres answers.", 1)
        yield from _of_queues(queues)
        yield from _of_system(numbers)


def _of_queues(queues: Iterable[Backlog]) -> Iterator[Metric]:
    ready = Gauge("saga_backlog", "Steps and decisions that may run now.", labels=["queue"])
    oldest = Gauge(
        "saga_backlog_oldest_seconds", "How long the oldest of them has waited.", labels=["queue"]
    )
    running = Gauge("saga_steps_running", "Steps that are being run.", labels=["queue"])
    workers = Gauge("saga_workers", "Live processes that serve the queue.", labels=["queue"])
    for queue in queues:
        label = [queue.queue]
        ready.add_metric(label, queue.ready)
        oldest.add_metric(label, queue.oldest or 0.0)
        running.add_metric(label, queue.running)
        workers.add_metric(label, queue.workers)
    yield from (ready, oldest, running, workers)


def _of_system(numbers: Gauges) -> Iterator[Metric]:
    blocked = Gauge("saga_blocked", "What waits for a person to decide.", labels=["kind"])
    blocked.add_metric(["step"], numbers.blocked_steps)
    blocked.add_metric(["undo"], numbers.blocked_undos)
    yield blocked
    yield Gauge(
        "saga_sweeper_lag_seconds", "How long the longest overdue item is overdue.", numbers.overdue
    )
    yield Gauge("saga_callbacks_lag_seconds", "The same of callbacks.", numbers.callbacks_overdue)
