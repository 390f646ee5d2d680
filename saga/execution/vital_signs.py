"""Signs of life that only the Celery worker has: its event loop turns, and it takes messages."""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

from typing import Any

from celery.worker import state

from saga.engine.worker.vital_signs import Beat
from saga.execution.transport import Credit
from saga.wakeups.broker import Broker
from saga.wakeups.message import Publisher


class ConsumerVital:
    """Messages that wait are taken while there are free slots, and the consumer may take more: its
    prefetch may be full of tasks that wait for their rate limit, or for their time. None is taken
    from a broker that has become a replica.
    """

    def __init__(self, worker: Any, publisher: Publisher, broker: Broker) -> None:
        self._worker = worker
        self._publisher = publisher
        self._broker = broker
        self._seen = -1

    def complaint(self) -> str | None:
        seen, self._seen = self._seen, state.all_total_count[0]
        if seen != self._seen or len(state.reserved_requests) >= self._worker.pool.num_processes:
            return None
        if not self._may_take():
            return None
        waiting = sum(self._publisher.length(queue) or 0 for queue in self._queues())
        if not waiting or not self._broker.takes_messages():
            return None
        return f"{waiting} messages wait and none is taken, though slots are free"

    def _may_take(self) -> bool:
        consumer = getattr(self._worker.consumer, "task_consumer", None)
        qos = getattr(getattr(consumer, "channel", None), "qos", None)
        # Our own counts free slots, as was done above, and must not be asked from this thread.
        return qos is None or isinstance(qos, Credit) or qos.can_consume()

    def _queues(self) -> list[str]:
        """Those it consumes from now: an operator may have cancelled some."""
        return sorted(self._worker.app.amqp.queues.consume_from)


def loop_beat(worker: Any, broker: Broker) -> Beat:
    """The sign that the event loop of a worker turns.

    It does not while the worker waits for its broker, nor while a solo worker runs a step.
    """

    def excused() -> bool:
        if worker.pool_cls.__module__.endswith("solo") and state.active_requests:
            return True
        return not broker.takes_messages()

    return Beat("its event loop", excused)
