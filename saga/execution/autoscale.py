"""`--autoscale MAX,MIN`: as many slots as there is work that may run now.

Celery's own autoscaler sees only the messages that a worker has taken. This one asks Postgres,
once a second and from a thread of its own, so that a slow database never keeps the worker from
consuming.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import logging
import math
import os
import threading
import time
from typing import Any

import psycopg
from celery.worker import state
from celery.worker.autoscale import Autoscaler

from saga.execution.settings import settings_of
from saga.storage.connect import connect
from saga.storage.demand import Demand, demand

log = logging.getLogger("saga.autoscale")

_EVERY = 1.0  # seconds
_CALM = "10"  # seconds without need before a shrink


def wanted(demand: Demand, busy: int, own: int) -> int:
    """Slots: those in use, and our share of what waits. `own`: our live worker processes."""
    share = own / max(own, demand.workers)
    return busy + math.ceil((demand.steps + demand.decisions) * share)


class BacklogAutoscaler(Autoscaler):
    """Grows at once, and shrinks to the most that the last `AUTOSCALE_KEEPALIVE` (10 s) needed."""

    def __init__(
        self,
        pool: Any,
        max_concurrency: int,
        min_concurrency: int = 0,
        worker: Any = None,
        keepalive: float | None = None,
        mutex: Any = None,
    ) -> None:
        super().__init__(
            pool, max_concurrency, max(1, min_concurrency), worker, _EVERY, mutex or None
        )
        self._worker: Any = worker
        self._calm = keepalive or float(os.environ.get("AUTOSCALE_KEEPALIVE", _CALM))
        self._demand = Demand(0, 0, 1)
        self._needs: list[int] = []
        settings = settings_of(worker.app)
        self._url = settings.database_url
        self._queues = sorted(worker.app.amqp.queues.consume_from)
        self._thread: threading.Thread | None = None

    def maybe_scale(self, req: Any = None) -> None:
        """Called by the worker's event loop every second, and for each message."""
        if req is not None:
            return
        if self._thread is None:
            self._begin()
        # Messages that wait in the worker would be taken from other workers, and wait again.
        if self._worker.max_concurrency is not None:
            self._worker.max_concurrency = None
        self._needs = [*self._needs, self._need()][-max(1, math.ceil(self._calm / _EVERY)) :]
        self._resize(self._needs[-1], max(self._needs))

    def _need(self) -> int:
        own = self.processes if self.pool.uses_semaphore else 1
        need = wanted(self._demand, len(state.reserved_requests), own)
        return min(self.max_concurrency, max(self.min_concurrency, need))

    def _resize(self, now: int, lately: int) -> None:
        size = self.processes
        if now > size:
            log.info("%d slots become %d", size, now)
            self.pool.grow(now - size)
        elif lately < size:
            log.info("%d slots become %d", size, lately)
            self._shrink(size - lately)
        else:
            return
        self.pool.maintain_pool()

    def _shrink(self, n: int) -> None:
        """A prefork pool refuses while its processes are busy: then later."""
        try:
            self.pool.shrink(n)
        except ValueError:
            log.debug("all processes are busy")

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002
        """By remote control, `celery control autoscale`."""
        self.max_concurrency = max or self.max_concurrency
        self.min_concurrency = min or self.min_concurrency
        return self.max_concurrency, self.min_concurrency

    def info(self) -> dict[str, Any]:
        return {
            "max": self.max_concurrency,
            "min": self.min_concurrency,
            "current": self.processes,
            "qty": self._need(),
        }

    # -- a thread of its own

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._measure, name="saga-autoscale", daemon=True)
        self._thread.start()

    def _measure(self) -> None:
        connection: psycopg.Connection | None = None
        while True:
            time.sleep(_EVERY)
            try:
                connection = connection or connect(self._url, "saga autoscaler")
                self._demand = demand(connection, self._queues, 4 * self.max_concurrency + 100)
            except psycopg.Error as error:
                log.warning("the backlog is not known: %s", type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
