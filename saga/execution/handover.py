"""Wake-ups for code that another worker on the same queues has: handed over, and taken over."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false, reportMissingTypeStubs=false
# Celery and kombu have no types.

import logging
import threading
from functools import partial
from typing import Any

from celery import bootsteps
from kombu.entity import Exchange, Queue

from saga.core.declare.registry import registry
from saga.core.rows import StepKey
from saga.engine.attempt.catalog import Catalog
from saga.execution.own_process import process_of, queues_of
from saga.execution.pool import TaskPool
from saga.execution.short_way import arguments_of
from saga.wakeups.message import HANDOVER, handover_queue, key_of, step_of

log = logging.getLogger("saga.wakeups")


def take_what_is_handed_over(app: Any) -> None:
    """Has a worker that is about to start consume what others hand over to it."""
    name = handover_queue(Catalog(registry).code(), queues_of(app))
    queues = app.amqp.queues
    for earlier in [q for q in queues.consume_from if q.startswith(HANDOVER) and q != name]:
        queues.deselect(earlier)
    queues.select_add(Queue(name, Exchange(name), routing_key=name))


class HandoverStep(bootsteps.StartStopStep):
    """Sees messages of tasks that the app does not have, before Celery throws them away."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:
        parent.strategies = _Strategies(parent)


class _Strategies(dict[str, Any]):
    """What a consumer does with each message, by the task's name."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(consumer.strategies)
        self._consumer = consumer

    def __missing__(self, name: str) -> Any:
        return partial(self._take, name)

    def _take(self, name: str, message: Any, body: Any, *_: Any) -> None:
        args = arguments_of(message) if body is None else None
        key = key_of(*args or ())
        if key is None:
            self._consumer.on_unknown_task(body, message, KeyError(name))
            return
        message.ack()
        queue = str(message.delivery_info.get("routing_key"))
        self._run(partial(_hand_over, self._consumer.app, queue, step_of(name), key))

    def _run(self, job: Any) -> None:
        """Not here: Postgres may be slow, and the event loop is the worker's only one."""
        pool = self._consumer.pool
        if isinstance(pool, TaskPool):
            pool.take(job)
        else:
            threading.Thread(target=job, name="saga-handover", daemon=True).start()


def _hand_over(app: Any, queue: str, name: str, key: StepKey) -> None:
    try:
        process_of(app).hand_over(queue, name, key)
    except Exception:
        log.exception("the wake-up of %s %s is left to the sweeper", name, key)
