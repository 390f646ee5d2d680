"""The short way of a wake-up from the broker to a slot.

Celery prepares each message for what tasks may want: results, retries, chains, limits, signals. A
wake-up wants none of it, and that took half of what a message cost. `Task.Strategy` is Celery's
own place for another way. Ours is taken only where nobody would notice: on our pool, when nobody
listens to the signals of tasks.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
# Celery and kombu have no types.

import json
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.worker import state, strategy

from saga.execution.pool import TaskPool

log = logging.getLogger("saga.worker")

NAME = f"{__name__}:short_way"
"""What `Task.Strategy` names it by."""

_HEARD = (
    signals.task_received,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
)


class Taken:
    """A wake-up that has a slot: what the worker's limit counts and `inspect active` shows."""

    __slots__ = ("__weakref__", "eventer", "hostname", "message", "task", "time_start")

    acknowledged = True

    def __init__(self, message: Any, task: Any, hostname: str) -> None:
        self.message = message
        self.task = task
        self.hostname = hostname
        self.time_start = time.time()
        self.eventer: Any = None  # Celery sets it after each reconnect

    @property
    def id(self) -> str:
        return str(self.message.headers["id"])

    @property
    def name(self) -> str:
        return str(self.task.name)

    def info(self, safe: bool = False) -> dict[str, Any]:
        del safe  # ids only
        return {
            "id": self.id,
            "name": self.name,
            "args": self.message.headers.get("argsrepr"),
            "kwargs": "{}",
            "type": self.name,
            "hostname": self.hostname,
            "time_start": self.time_start,
            "acknowledged": True,
            "delivery_info": self.message.delivery_info,
            "worker_pid": os.getpid(),
        }

    def cancel(self, pool: Any, **_: Any) -> None:
        """A thread is not interrupted: its lease says whether its outcome still counts."""
        del pool

    terminate = cancel

    def __str__(self) -> str:
        return f"{self.name}[{self.id}]"


def short_way(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """What the consumer does with each message of a task of ours."""
    long_way: Callable[..., Any] = strategy.default(task, app, consumer, **options)
    pool = consumer.pool
    if not isinstance(pool, TaskPool) or any(signal.receivers for signal in _HEARD):
        return long_way
    run = task.run

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> Any:
        args = arguments_of(message) if body is None else None
        if args is None:
            return long_way(message, body, ack, reject, callbacks)
        message.ack()  # what is lost from here on is sent again by the sweeper
        taken = Taken(message, task, consumer.hostname)
        state.reserved_requests.add(taken)
        state.active_requests.add(taken)
        state.total_count[taken.name] += 1
        state.all_total_count[0] += 1
        pool.take(partial(_carry_out, taken, run, args))
        return None

    return take


def arguments_of(message: Any) -> list[Any] | None:
    """Those of a message such as we send; None if it asks for more than a wake-up does."""
    headers = message.headers
    if headers.get("origin") != "saga" or headers.get("eta") or headers.get("expires"):
        return None
    if message.content_type != "application/json":
        return None
    try:
        args, _, _ = json.loads(message.body)
    except (TypeError, ValueError, RecursionError):
        return None
    return args if isinstance(args, list) else None  # pyright: ignore[reportUnknownVariableType]


def _carry_out(taken: Taken, run: Callable[..., None], args: list[Any]) -> None:
    try:
        run(*args)
    except Exception:
        log.exception("%s raised", taken)
    except BaseException as error:
        log.warning("%s ended with %s", taken, type(error).__name__)
    finally:
        state.active_requests.discard(taken)
        state.reserved_requests.discard(taken)
